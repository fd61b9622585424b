"""``wsi-ai models``."""

import sys
from collections.abc import Callable
from pathlib import Path

from wsi_ai.approval import approved_model
from wsi_ai.errors import WsiAiError
from wsi_ai.golden import load_golden
from wsi_ai.manifest import load_card
from wsi_ai.parity import Parity, make_golden, verify
from wsi_ai.settings import Site, load_site

_OK, _REFUSED, _USAGE = 0, 1, 2
_COLUMNS = "{:<12} {:<44} {:>14} {:>10} {:>6} {:>6}  {}"


def check(model: Path, key: Path | None = None) -> int:
    """Check the signature, where one is asked for, and run the golden tiles everywhere; tell, and
    return the exit status: 1 where one is refused."""
    return _told(lambda: _verified(model, load_site(key)))


def golden(model: Path, slides: list[Path], count: int) -> int:
    """Make golden tiles, tell, and return the exit status."""

    def make() -> int:
        path = make_golden(model, slides, count)
        print(f"{path}: {count} tiles; now: wsi-ai models verify {model}")
        return _OK

    return _told(make)


def _verified(model: Path, site: Site) -> int:
    folder = approved_model(model, site)
    if site.trusted_keys:
        print("signature: ok, of every file")
        if load_golden(load_card(folder)) is None:
            print("golden tiles: none; make them: wsi-ai models golden MODEL SLIDE")
            return _OK
    refused = ran = 0
    print(_COLUMNS.format("format", "runtime", "max difference", "tolerance", "ranks", "flags", ""))
    for row in verify(folder):
        print(_line(row), flush=True)
        ran += row.differences is not None
        refused += row.differences is not None and not row.accepted
    print(f"{ran} ran, {refused} refused")
    return _REFUSED if refused or not ran else _OK


def _line(row: Parity) -> str:
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


def _told(work: Callable[[], int]) -> int:
    try:
        return work()
    except WsiAiError as error:
        print(f"wsi-ai: {error}", file=sys.stderr)
        return _USAGE
