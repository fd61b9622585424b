"""``wsi-ai bench``."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from wsi_ai.bench import compare as comparing
from wsi_ai.bench.report import DISTURBED, Bench, Stage, in_seconds, load, verdict
from wsi_ai.bench.rounds import QUIET
from wsi_ai.bench.run import Asked, run_bench
from wsi_ai.bench.whole import ProcessRun, WholeRuns
from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.files import write_whole
from wsi_ai.core.wording import counted
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
    for one in made.processes:
        say(_process(one))
    for words in made.left_out:
        say(f"left out: {words}")
    say(verdict(made))


def _row(stage: Stage) -> str:
    share = "-" if stage.share is None else f"{stage.share:.2f}"
    share += "?" if (stage.share or 0) > DISTURBED else ""
    limit = "" if stage.limit is None else stage.limit.name
    busy = " (machine busy)" if stage.own.is_busy else ""
    return (
        f"{stage.name:24} {in_seconds(stage.own.median_s):>10} {stage.own.spread:>7.0%}"
        f" {in_seconds(stage.slide_s):>10} {share:>8}  {limit}{busy}"
    )


def _process(run: ProcessRun) -> str:
    busy = " (machine busy)" if run.others >= QUIET else ""
    return (
        f"from the command to its end, {counted(run.slides, 'slide')}, {run.tiles:,} tiles:"
        f" {run.wall_s:.3g} s, {run.peak_mib:.0f} MiB at most,"
        f" pipeline efficiency {run.efficiency:.2f}{busy}"
    )


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
def plot(results: Sequence[Path], out: Path | None) -> int:
    """Of each result its stages, roofline and timeline; of all of them, how things scale."""
    from wsi_ai.bench.scaling_plots import scaling_plots

    benches = [load(path) for path in results]
    comparing.check_alike(benches)
    if out is not None:
        _make(out)
    for path, bench in zip(results, benches, strict=True):
        folder = out or path.parent
        for name, content in _own_plots(bench):
            _keep(folder / f"{path.stem}-{name}.png", content)
        if bench.whole_runs is not None:
            _timeline(folder / f"{path.stem}-timeline.png", bench.whole_runs)
    first = results[0] if len(results) == 1 else Path("scaling")
    for name, content in scaling_plots(benches):
        _keep((out or results[0].parent) / f"{first.stem}-{name}.png", content)
    return Exit.OK


def _own_plots(bench: Bench) -> Iterator[tuple[str, bytes]]:
    from wsi_ai.bench.plots import roofline, stage_bars

    for name, content in (("stages", stage_bars(bench)), ("roofline", roofline(bench))):
        if content is None:
            say(f"no {name}: the network's operations were not counted")
        else:
            yield name, content


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder.name} could not be made: {error.strerror}") from None


def _keep(path: Path, content: bytes) -> None:
    _write(path, content)
    say(str(path))


def _timeline(path: Path, runs: WholeRuns) -> None:
    from wsi_ai.results.timeline import write_timeline

    write_timeline(path, runs.last_record())
    say(str(path))
