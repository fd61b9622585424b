"""A run in two files for people: ``summary.csv``, a row a slide and model, and ``summary.md``."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_ai.core.cards import CARD_INCOMPLETE
from wsi_ai.core.files import write_whole
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.core.printable import printable
from wsi_ai.core.wording import counted
from wsi_ai.errors import disk_errors
from wsi_ai.results.sealed import read_results

COLUMNS = (
    "slide",
    "model",
    "level",
    "reason",
    "score",
    "threshold",
    "positive_mm2",
    "tissue_mm2",
    "regions",
    "coverage",
    "quality",
    "quality_failed",
    "seconds",
    "done_before",
    "folder",
)
NOT_JUDGED = "not judged"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet reckon with a cell instead of showing it."""


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """Of one slide and model."""

    slide: str
    model: str
    level: str
    """Of the flag; or ``NOT_JUDGED``."""
    reason: str
    folder: Path | None
    seconds: float | None
    done_before: bool


def write_summary(out: Path, lines: Sequence[SummaryLine]) -> None:
    """Both files, each whole or not at all; those of an earlier run are replaced.

    Raises OutputError.
    """
    rows = [_row(out, line) for line in lines]
    with disk_errors():
        write_whole(out / "summary.csv", _csv(rows))
        write_whole(out / "summary.md", _markdown(rows).encode())


def _row(out: Path, line: SummaryLine) -> dict[str, Any]:
    """By the names of ``COLUMNS``; ``None`` where it is not known."""
    record, flag = (line.folder and read_results(line.folder)) or ({}, {})
    result, quality = flag.get("result", {}), flag.get("qc", {})
    failed = [one["name"] for one in quality.get("checks", ()) if one["status"] != "pass"]
    areas = record.get("areas") or {}
    return {
        "slide": line.slide,
        "model": line.model,
        "level": line.level,
        "reason": line.reason,
        "score": result.get("score"),
        "threshold": result.get("threshold", {}).get("value"),
        "positive_mm2": areas.get("positive_mm2"),
        "tissue_mm2": areas.get("tissue_mm2"),
        "regions": areas.get("regions"),
        "coverage": quality.get("analysed_fraction"),
        "quality": quality.get("status"),
        "quality_failed": " ".join(failed) or None,
        "seconds": line.seconds,
        "done_before": "yes" if line.done_before else "no",
        "folder": str(line.folder.relative_to(out)) if line.folder else None,
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """UTF-8 with a mark at its beginning, by which Excel knows it."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(COLUMNS)
    for row in rows:
        table.writerow([_cell(row[name]) for name in COLUMNS])
    return text.getvalue().encode("utf-8-sig", "replace")


def _cell(value: Any) -> str:
    """Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    levels = [row["level"] for row in rows]
    known = [*Level, NOT_JUDGED] if NOT_JUDGED in levels else list(Level)
    counts = ", ".join(f"{levels.count(level)} {_words(level)}" for level in known)
    open_ones = [row for row in rows if row["level"] in (Level.NOT_ASSESSED, NOT_JUDGED)]
    parts = [
        "# What came out of the last run",
        f"> {_statement_above(rows)}",
        f"{counted(len(levels), 'row')}: {counts}. No level means benign.",
        _table(rows, ("slide", "model", "level", "score", "threshold", "seconds")),
    ]
    if open_ones:
        parts += ["## Not assessed, and why", _table(open_ones, ("slide", "model", "reason"))]
    return "\n\n".join(parts) + "\n"


def _statement_above(rows: Sequence[Mapping[str, Any]]) -> str:
    """The statement; if any row is of a model that is only being tried, that first."""
    tried = any(CARD_INCOMPLETE in str(row["reason"]) for row in rows)
    return f"{CARD_INCOMPLETE}. {STATEMENT}" if tried else STATEMENT


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += [f"| {' | '.join(_in_table(row[name]) for name in names)} |" for row in rows]
    return "\n".join(lines)


def _in_table(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else printable(str(value or ""))
    return "".join(f"\\{sign}" if sign in "\\|<>[]*_`#" else sign for sign in text)


def _words(level: str) -> str:
    return str(level).replace("_", " ")
