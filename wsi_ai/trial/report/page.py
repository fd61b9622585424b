"""One file of HTML that needs nothing else, on a screen and on paper."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from wsi_ai.core.flags import STATEMENT
from wsi_ai.trial.region.result import Result
from wsi_ai.trial.region.sites import Sites, corrected
from wsi_ai.trial.report.exhibits import exhibits
from wsi_ai.trial.report.first_page import first_page
from wsi_ai.trial.report.items import DECIDE, STARD, Typed, items
from wsi_ai.trial.report.words import Table
from wsi_ai.trial.waiting.gain import Group
from wsi_ai.trial.waiting.scenario import Gain

_FOLDER = files(__package__) / "templates"
_NAME = re.compile(r"^[A-Z]+(?: [A-Z]+)*\b")


@dataclass(frozen=True, slots=True)
class Extras:
    """What a report may have besides its sites."""

    gains: dict[Group, Gain] | None = None
    typed: Typed | None = None
    synthetic: str = ""
    """Which part of the data is made up, as a sentence; of a tutorial."""


def report(sites: Sites, result: Result, extras: Extras) -> str:
    """Raises nothing: what cannot be computed is "not estimable" in it."""
    found = exhibits(sites, result, extras.gains)
    made = items(sites, extras.typed or {})
    return _template().render(
        sites=sites,
        document=sites.protocol.document,
        digest=sites.protocol.sha256,
        statement=STATEMENT,
        foot=_foot(sites),
        marks=_marks(sites),
        synthetic=extras.synthetic,
        lines=first_page(sites, result, extras.gains),
        met=result.claim.met,
        exhibits=[(one, Markup(one.svg)) for one in found],
        digests=_digests(sites),
        left_out=Table(
            "Left out", ("bundle", "why"), tuple((one.name, one.why) for one in sites.left_out)
        ),
        lists=[(name, [i for i in made if i.guideline == name]) for name in (STARD, DECIDE)],
    )


def _marks(sites: Sites) -> list[str]:
    found = []
    if sites.unblinded:
        found.append(f"UNBLINDED at {', '.join(sites.unblinded)}")
    if again := corrected(sites):
        found.append(f"CORRECTED at {', '.join(again)}: the reference was locked again")
    if sites.exact:
        agreement = sites.protocol.document["sharing"].get("agreement", "")
        found.append(f"EXACT COUNTS: under {agreement}; for nobody else")
    if sites.look < len(sites.protocol.document.get("look", [])):
        found.append(f"INTERIM: look {sites.look}")
    return found


def _foot(sites: Sites) -> str:
    """At the foot of every printed page, as a string of CSS: no free text gets there."""
    marks = ["".join(_NAME.findall(mark)[:1]) for mark in _marks(sites)]
    parts = [
        STATEMENT,
        f"Trial {sites.protocol.document['trial_id']}",
        f"protocol {sites.protocol.sha256[:16]}…",
        f"look {sites.look}",
        *marks,
    ]
    return " · ".join(parts)


def _digests(sites: Sites) -> Table:
    locks: Mapping[str, str] = {s.origin.site: s.origin.lock_sha256 for s in sites.exact} | {
        s.site: str(s.header["lock_sha256"]) for s in sites.shown
    }
    periods = {s.origin.site: (s.origin.first_month, s.origin.last_month) for s in sites.exact} | {
        s.site: (s.header["first_month"], s.header["last_month"]) for s in sites.shown
    }
    rows = tuple(
        (
            file.site,
            file.audience,
            " to ".join(periods[file.site]),
            locks[file.site],
            file.sha256,
        )
        for file in sites.files
    )
    columns = ("site", "audience", "period", "reference locked, sha256", "bundle, sha256")
    return Table("Sites in this report", columns, rows)


@cache
def _template() -> Template:
    loader = FunctionLoader(lambda name: (_FOLDER / name).read_text("utf-8"))
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return made.get_template("report.html")
