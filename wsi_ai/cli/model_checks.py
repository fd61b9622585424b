"""``wsi-ai models``."""

from collections.abc import Iterator
from pathlib import Path

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.core.cards import RuntimeRequest
from wsi_ai.core.wording import counted
from wsi_ai.inference.registry import host_devices
from wsi_ai.models.approval import approved_model
from wsi_ai.models.fastest.choose import choose, slower_than_fp32
from wsi_ai.models.golden import load_golden
from wsi_ai.models.manifest import load_card, load_variants
from wsi_ai.models.optimize import Optimized, quantize_model
from wsi_ai.models.parity import GoldenResult, make_golden, verify
from wsi_ai.models.site import Site, load_site

_COLUMNS = "{:<12} {:<44} {:>14} {:>10} {:>6} {:>6}  {}"
_HEADING = _COLUMNS.format("format", "runtime", "max difference", "tolerance", "ranks", "flags", "")


@exit_on_error
def check(model: Path, key: Path | None = None) -> int:
    """Check the signature, where one is asked for, and run the golden tiles everywhere; print, and
    return the exit status: 1 where one is refused."""
    return _verified(model, load_site(key))


@exit_on_error
def golden(model: Path, slides: list[Path], count: int) -> int:
    """Make golden tiles, print, and return the exit status."""
    path = make_golden(model, slides, count)
    say(f"{path}: {counted(count, 'tile')}; now: wsi-ai models verify {model}")
    return Exit.OK


@exit_on_error
def optimize(model: Path, slides: list[Path]) -> int:
    """Quantise, print, and return the exit status: 1 where the result is refused."""
    done = quantize_model(model, slides)
    say(_HEADING)
    for row in done.rows:
        say(_line(row))
    say(_beyond(done))
    if not done.kept:
        say("refused, and nothing was changed; other or more slides may calibrate better")
        return Exit.SOME
    say(f"{done.weights}: kept, for wsi-ai run --precision int8")
    for line in _fastest_here(model):
        say(line)
    return Exit.OK


def _fastest_here(model: Path) -> Iterator[str]:
    """Measured at once, so that the first run need not."""
    for card in load_variants(model):
        devices = host_devices(card)
        if len(devices) > 1:
            choice = choose(card, RuntimeRequest(precision=card.precision), devices)
            yield f"--device auto, {card.precision}: {choice}"
            if note := slower_than_fp32(card, choice):
                yield note


def _beyond(done: Optimized) -> str:
    found = done.beyond
    return (
        f"on {done.tiles} other tiles of these slides: max difference {found.largest:.2e},"
        f" {found.flag_changes} on the other side of the threshold"
    )


def _verified(model: Path, site: Site) -> int:
    folder = approved_model(model, site)
    if site.trusted_keys:
        say("signature: ok, of every file")
        if load_golden(load_card(folder)) is None:
            say("golden tiles: none; make them: wsi-ai models golden MODEL SLIDE")
            return Exit.OK
    refused = ran = 0
    say(_HEADING)
    for row in verify(folder):
        say(_line(row))
        ran += row.differences is not None
        refused += row.differences is not None and not row.accepted
    say(f"{ran} ran, {refused} refused")
    return Exit.SOME if refused or not ran else Exit.OK


def _line(row: GoldenResult) -> str:
    found = row.differences
    if found is None:
        return f"{row.format:<12} {row.runtime:<44} not here: {row.reason}"
    word = "ok" if row.accepted else "REFUSED"
    return _COLUMNS.format(
        row.format,
        row.runtime,
        f"{found.largest:.2e}",
        f"{row.tolerance:g}",
        found.rank_changes,
        found.flag_changes,
        word,
    )
