"""``wsi-ai bench``."""

import json
import sys
from pathlib import Path

from wsi_ai.bench import compare as comparing
from wsi_ai.bench.report import DISTURBED, Bench, Stage, load, verdict
from wsi_ai.bench.run import Asked, run_bench
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.files import write_whole
from wsi_ai.errors import OutputError

_HEAD = f"{'stage':24} {'median':>10} {'spread':>7} {'this slide':>10} {'of limit':>8}  limit"


@exit_on_error
def measure(asked: Asked, to: Path | None) -> int:
    made = run_bench(asked, lambda stage: say(f"measuring: {stage}", sys.stderr))
    if to is not None:
        text = json.dumps(made.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
        _write(to, f"{text}\n".encode())
    _show(made)
    return Exit.OK


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(f"{path.name} could not be written: {error.strerror}") from None


def _show(made: Bench) -> None:
    machine = made.machine
    say(f"{machine['processor']}, {machine['processors']} processors; {made.settings['runtime']}")
    say(_HEAD)
    for stage in made.stages:
        say(_row(stage))
    for words in made.left_out:
        say(f"left out: {words}")
    say(verdict(made))


def _row(stage: Stage) -> str:
    share = "-" if stage.share is None else f"{stage.share:.2f}"
    share += "?" if (stage.share or 0) > DISTURBED else ""
    limit = "" if stage.limit is None else stage.limit.name
    busy = " (machine busy)" if stage.own.is_busy else ""
    return (
        f"{stage.name:24} {_seconds(stage.own.median_s):>10} {stage.own.spread:>7.0%}"
        f" {_seconds(stage.slide_s):>10} {share:>8}  {limit}{busy}"
    )


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


@exit_on_error
def compare(first: Path, second: Path) -> int:
    one, other = load(first), load(second)
    changes = comparing.compare(one, other)
    for words in comparing.differences(one, other):
        say(f"differs: {words}")
    for change in changes:
        between = "" if change.between is None else "  {:.2f} to {:.2f}".format(*change.between)
        why = f" ({change.why})" if change.why else ""
        say(f"{change.name:24} {change.ratio:5.2f}x{between}  {change.verdict}{why}")
    slower = any(change.verdict is comparing.Verdict.SLOWER for change in changes)
    return Exit.SOME if slower else Exit.OK


@exit_on_error
def plot(result: Path, out: Path) -> int:
    from wsi_ai.bench.plots import roofline, stage_bars

    made = load(result)
    for name, content in (("stages", stage_bars(made)), ("roofline", roofline(made))):
        if content is None:
            say(f"no {name}: the network's operations were not counted")
            continue
        path = out / f"{result.stem}-{name}.png"
        _write(path, content)
        say(str(path))
    return Exit.OK
