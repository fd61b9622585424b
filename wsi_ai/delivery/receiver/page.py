"""The worklist as a page that any browser shows: no script, nothing from elsewhere.  Pure."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from wsi_ai.core.flags import STATEMENT
from wsi_ai.core.printable import printable
from wsi_ai.core.wording import counted

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_LEVELS = {
    "expedite": ("EXPEDITE", "look at this one first"),
    "standard": ("STANDARD", "keep the usual order"),
    "not_assessed": ("NOT ASSESSED", "keep the usual order; nothing is known of it"),
}
_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #111; background: #fff; }
.statement { font-weight: bold; }
.incomplete { border: 3px solid #a33c00; padding: .6rem .9rem; background: #fff4e8; }
table { border-collapse: collapse; width: 100%; margin-top: 1rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; }
tr { border-bottom: 1px solid #bbb; }
.level { font-weight: bold; white-space: nowrap; }
.expedite { color: #a33c00; } .standard { color: #00507f; } .not_assessed { color: #444; }
"""
_COLUMNS = ("Level", "Slide", "Accession", "Trust", "What was found", "Seen", "Model", "Issued")
_HEAD = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="30"><title>Worklist</title><style>{_STYLE}</style></head>
<body><h1>Worklist</h1>
<p class="statement">{STATEMENT}</p>
"""
_SILENCE = (
    "the most urgent first. A slide that is not listed may be on its way, not run, or failed: that"
    " it is not here says nothing about it. No level means benign."
)


def worklist_page(
    lines: Sequence[Mapping[str, Any]], completeness: Mapping[str, Any], now: str
) -> str:
    """``lines`` and ``completeness`` are as ``GET /worklist`` gives them."""
    note = completeness["note"]
    warning = f'<p class="incomplete" role="alert">{_text(note)}</p>\n' if note else ""
    count = f"<p>{counted(len(lines), 'flag')} at {_text(now)}, {_SILENCE}</p>\n"
    return f"{_HEAD}{warning}{count}{_table(lines) if lines else ''}</body></html>\n"


def _table(lines: Sequence[Mapping[str, Any]]) -> str:
    heads = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    rows = "".join(map(_row, lines))
    return f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>\n"


def _row(line: Mapping[str, Any]) -> str:
    level = str(line["level"])
    word, meaning = _LEVELS[level]
    share = line["analysed_fraction"]
    cells = (
        line["slide"],
        line["accession"] or "not known",
        line["trust"] or "not known",
        f"{line['explanation']} (revision {line['revision']})",
        "not known" if share is None else f"{share:.0%}",
        line["model"],
        line["issued"],
    )
    first = f'<td class="level {level}">{word}<br><small>{meaning}</small></td>'
    return f"<tr>{first}{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>\n"


def _text(value: object) -> str:
    return escape(printable(str(value)))
