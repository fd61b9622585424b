"""Templates: what comes from outside is escaped, and signs that hide or turn what stands beside
them are written out."""

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.core.printable import printable
from wsi_ai.core.timing import timestamp
from wsi_ai.core.wording import counted
from wsi_ai.service.access.headers import UNLESS_SET
from wsi_ai.service.access.who import Role, Who

LEVELS = {
    Level.EXPEDITE.value: ("Expedite", "look at this one first"),
    Level.NOT_ASSESSED.value: ("Not assessed", "nothing is known of it; keep the usual order"),
    Level.STANDARD.value: ("Standard", "keep the usual order; that does not mean benign"),
}
QUALITY = {
    "pass": ("✓ passed", "the quality checks were passed"),
    "fail": ("✗ failed", "a quality check was not passed"),
    "not_checked": ("– not checked", "the quality was not checked"),
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def rendered(template: str, **values: object) -> str:
    return _environment().get_template(template).render(**values)


def html_page(template: str, who: Who, status: int = 200, **values: object) -> HTMLResponse:
    """A whole page, for one person."""
    content = rendered(template, who=who, **values)
    return HTMLResponse(content, status, headers=dict(UNLESS_SET))


def age(seconds: float | None) -> str:
    """``3 min``, ``2 h 05 min``, ``4 d 3 h``: in as many signs as a glance takes."""
    if seconds is None:
        return "not known"
    whole = max(0, int(seconds))
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def seconds_of(moment: str) -> float | None:
    """Since 1970; ``None`` for a date that there is not."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


def share(value: float | None) -> str:
    """Rounded down: 100 % is all of it."""
    return "not known" if value is None else f"{int(value * 100)} %"


def _clock(moment: str | float | None) -> Markup:
    """The time of the day, and the day where it is not today's; a script puts it into the
    browser's own time."""
    seconds = moment if isinstance(moment, float | int) else seconds_of(moment or "")
    if seconds is None:
        return Markup("not known")
    at = datetime.fromtimestamp(seconds, UTC)
    form = "%H:%M" if at.date() == datetime.now(UTC).date() else "%d %b %Y %H:%M"
    return Markup('<time datetime="{}" data-clock>{} UTC</time>').format(
        timestamp(at), at.strftime(form)
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        finalize=_visible,
        loader=FunctionLoader(_text),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals.update(
        levels=LEVELS, qualities=QUALITY, statement=STATEMENT, Role=Role, counted=counted
    )
    environment.filters.update(age=age, share=share, clock=_clock)
    return environment


def _visible(value: Any) -> Any:
    return value if isinstance(value, Markup) else printable(str(value))


def _text(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text("utf-8")
