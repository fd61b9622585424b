"""``/``: the worklist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from wsi_ai.core.flags import Level
from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.service.access.headers import UNLESS_SET
from wsi_ai.service.access.who import REGION, Role, Who
from wsi_ai.service.pages.parts import PageParts, back, form
from wsi_ai.service.pages.rendering import age, html_page, rendered, seconds_of
from wsi_ai.service.worklist import asking, lines
from wsi_ai.service.worklist.acknowledging import (
    Looked,
    MayNot,
    NewerRevision,
    NoSuchLine,
    acknowledge,
    undo,
)
from wsi_ai.service.worklist.band import Band, band_of, facts
from wsi_ai.service.worklist.counting import Numbers
from wsi_ai.service.worklist.filters import Filters
from wsi_ai.service.worklist.lines import Line
from wsi_ai.service.worklist.live import Rendered, as_message

_DONE = {NoSuchLine: 404, MayNot: 403, NewerRevision: 409}


@dataclass(frozen=True, slots=True)
class Tab:
    """A part of the list, as a link."""

    name: str
    filters: Filters
    open: int
    """Number of lines to expedite that nobody acknowledged."""

    @property
    def address(self) -> str:
        return address(self.filters)


def address(filters: Filters, **more: str) -> str:
    query = urlencode(filters.as_query() | more)
    return f"/?{query}" if query else "/"


def rendering(clock: Clock) -> Rendered:
    """For the part of the socket."""
    return Rendered(lambda line, who: line_html(line, who, clock()), band_html)


def line_html(line: Line, who: Who, now: float, people: int = 0, query: str = "") -> str:
    issued = seconds_of(line.row.issued)
    return rendered(
        "line.html",
        line=line.row,
        by=line.by,
        key=line.key,
        people=people,
        query=query,
        own=next((one for one in line.by if one.subject == who.subject), None),
        waits=age(None if issued is None else now - issued),
        may=who.may(Role.ACKNOWLEDGE, line.row.trust, line.row.network),
    )


def band_html(band: Band) -> str:
    return rendered("band.html", band=band) if band.why else ""


def worklist(parts: PageParts, request: Request, who: Who) -> Response:
    given = dict(request.query_params)
    filters = Filters.of(given)
    now = parts.clock()
    shown = lines.page(parts.engine, who, filters, given.get("after", ""))
    numbers = parts.counts.of(who)
    people = parts.looking([line.row.image_sha256 for line in shown.lines])
    query = urlencode(filters.as_query())
    return html_page(
        "worklist.html",
        who,
        tab="worklist",
        signs_out=parts.signs_out,
        band=band_html(band_of(facts(parts.engine, now), who)),
        filters=filters,
        choices=_choices(numbers),
        head=_head(who, filters, numbers),
        rows=[
            line_html(line, who, now, people.get(line.row.image_sha256, 0), query)
            for line in shown.lines
        ],
        seq=shown.seq,
        now=now,
        is_first=not given.get("after"),
        last=shown.lines[-1].key if shown.lines and shown.more else "",
        following=address(filters, after=shown.lines[-1].key) if shown.more else "",
        asks=_models(parts, who),
        asked_slides=_may_be_asked(shown.lines, who),
        address=address,
    )


def changes(parts: PageParts, request: Request, who: Who) -> Response:
    """What happened since, for a page that has no socket: the same messages."""
    after = request.query_params.get("after", "")
    if not (after.isascii() and after.isdigit() and len(after) < 16):
        raise ValueError("after: the number of a change")
    filters = Filters.of(dict(request.query_params))
    found = lines.since(parts.engine, who, filters, int(after))
    band = band_html(band_of(facts(parts.engine, parts.clock()), who))
    told = (
        [{"type": "stale"}] if found.too_many else [as_message(found, who, rendering(parts.clock))]
    )
    content = {"seq": found.seq, "messages": [*told, {"type": "band", "html": band}]}
    return JSONResponse(content, headers=dict(UNLESS_SET))


def head(parts: PageParts, request: Request, who: Who) -> Response:
    """Tabs and totals, made anew."""
    filters = Filters.of(dict(request.query_params))
    content = _head(who, filters, parts.counts.of(who))
    return HTMLResponse(content, headers=dict(UNLESS_SET))


def _head(who: Who, filters: Filters, numbers: Numbers) -> str:
    totals = _totals(numbers, filters, who)
    return rendered("head.html", filters=filters, tabs=tabs(who, numbers), totals=totals)


def acknowledgement(parts: PageParts, request: Request, who: Who) -> Response:
    given = form(request)
    act = undo if given.get("undo") else acknowledge
    status, why = 200, ""
    try:
        looked = Looked(given["flag"], _number(given["revision"]), given.get("note") or None)
        act(parts.engine, who, looked, parts.clock())
    except (NoSuchLine, MayNot, NewerRevision) as error:
        status, why = _DONE[type(error)], str(error)
    except KeyError:
        raise ValueError("a field is missing") from None
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"why": why}, status, headers=dict(UNLESS_SET))
    if why:
        return html_page("problem.html", who, status, why=why, tab="worklist")
    return back(_to(given))


def _number(text: str) -> int:
    """Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise ValueError("revision: a number from 1 on")
    return int(text)


def one_more_model(parts: PageParts, request: Request, who: Who) -> Response:
    given = form(request)
    try:
        flag, model = given["flag"], given["model"]
        asking.ask(parts.queue, who, flag, model, _models(parts, who))
    except NoSuchLine as error:
        return html_page("problem.html", who, 404, why=str(error), tab="worklist")
    except KeyError:
        raise ValueError("a field is missing") from None
    return back(_to(given))


def _to(given: Mapping[str, str]) -> str:
    """Where the form stood: of its address the filters only, so that it leads nowhere else."""
    return address(Filters.of(dict(parse_qsl(given.get("back", "")))))


def _models(parts: PageParts, who: Who) -> list[str]:
    if not who.may_somewhere(Role.SUBMIT):
        return []
    return sorted({*parts.models(), *asking.models_run(parts.engine)})


def _may_be_asked(found: Sequence[Line], who: Who) -> list[tuple[str, str]]:
    """Each slide once."""
    slides = {
        line.row.image_sha256: (line.row.flag_id, line.row.slide)
        for line in reversed(found)
        if who.may(Role.SUBMIT, line.row.trust, line.row.network)
    }
    return list(reversed(slides.values()))


def tabs(who: Who, numbers: Numbers) -> list[Tab]:
    """Those that they have the right to."""
    scopes = who.scopes(Role.READ)
    found = [("Mine", Filters(mine="yes"))]
    if who.trust and (who.may(Role.READ, who.trust) or _has(numbers, who.trust)):
        found.append(("My trust", Filters(trust=who.trust)))
    networks = sorted(scope.name for scope in scopes if scope.kind == "network")
    found += [(f"Network {name}", Filters(network=name)) for name in networks]
    found.append(("Region" if REGION in scopes else "All of mine to read", Filters()))
    return [Tab(name, each, _open(numbers, each)) for name, each in found]


def _has(numbers: Numbers, trust: str) -> bool:
    return any(row.trust == trust for row, _ in numbers)


def _open(numbers: Numbers, filters: Filters) -> int:
    return sum(
        number
        for row, number in numbers
        if row.level == Level.EXPEDITE
        and not row.acknowledged
        and filters.trust in ("", row.trust)
        and filters.network in ("", row.network)
        and not filters.mine
    )


def _choices(numbers: Numbers) -> dict[str, list[str]]:
    """What can be chosen from, of what there is."""
    names = "trust", "network", "model", "stain"
    return {name: sorted({getattr(row, name) or "-" for row, _ in numbers}) for name in names}


def _totals(numbers: Numbers, filters: Filters, who: Who) -> dict[str, dict[str, int]]:
    """By level: how many nobody acknowledged, and all, of the list as it is filtered; of those
    that they acknowledged themselves that is not counted."""
    found = {level: {"open": 0, "all": 0} for level in ("expedite", "not_assessed", "standard")}
    for row, number in numbers:
        if not filters.mine and filters.takes(row, frozenset(), who):
            found[row.level]["all"] += number
            found[row.level]["open"] += 0 if row.acknowledged else number
    return found
