"""A page: one HTML file that asks for nothing over the network.

What comes from outside is escaped, and signs that hide or turn what stands beside them are written
out, wherever a template prints it.  A page allows no script but its own, by digest.
"""

import base64
import hashlib
import math
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.core.printable import printable

_LONGEST, _LONGEST_NAME = 800, 120
VERDICTS: Mapping[str, tuple[str, str]] = {
    Level.EXPEDITE.value: ("Expedite", "Evidence was found: read this slide early."),
    Level.STANDARD.value: (
        "Standard",
        "No reason was found to read this slide early. That does not mean benign.",
    ),
    Level.NOT_ASSESSED.value: (
        "Not assessed",
        "There is no answer: handle the slide as if no AI had been used.",
    ),
}
"""The word for a level, and what it means."""


def page(template: str, script: str = "", **values: object) -> str:
    """The template filled in.  ``script`` names a file beside it; the page works without."""
    code = _text(script) if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            statement=STATEMENT,
            style=Markup(_text("style.css")),  # our own
            script=Markup(code),
            script_source=f"'sha256-{digest}'" if code else "'none'",
            **values,
        )
    )


def picture(kind: str, content: bytes) -> Markup:
    """As a ``data:`` address, which no browser asks anyone for."""
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    made.filters |= {
        "name": _name,
        "score": score,
        "count": _count,
        "share": _share,
        "address": _address,
    }
    made.globals |= {"verdicts": VERDICTS}
    return made


@cache
def _text(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text("utf-8")


def _plain(value: Any) -> Any:
    """Every text that a template prints goes through here."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _cut(printable(value), _LONGEST)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} signs)"


def _name(value: str) -> str:
    """Of a slide, a model, a class: on one line."""
    return _cut(printable(value), _LONGEST_NAME)


def score(value: float | None) -> str:
    """Never rounded up: what is shown as the threshold has reached it."""
    return "none" if value is None else f"{math.floor(value * 1000) / 1000:.3f}"


def _address(path: Path, start: Path) -> str:
    """For a link from a page in ``start``: whatever the name, it leads nowhere else."""
    return "./" + quote(os.fsencode(path.relative_to(start)))


def _count(value: int) -> str:
    return f"{value:,}"


def _share(value: float) -> str:
    """Never rounded up to all, nor down to none."""
    percent = math.floor(value * 1000) / 10
    return "under 0.1 %" if value > 0 and not percent else f"{percent:g} %"
