"""What a PACS says of an image, as far as we use it.  Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from wsi_ai.delivery.messages import Endpoint
from wsi_ai.errors import SinkError


@dataclass(frozen=True, slots=True)
class PacsSite:
    """Whose images they are."""

    endpoint: Endpoint
    trust: str
    network: str | None = None


def address_of(endpoint: Endpoint, slide_id: str) -> str:
    return f"{endpoint.url.rstrip('/')}/slides/{quote(slide_id, safe='')}"


def slide_id_of(address: str) -> str:
    return unquote(address.rpartition("/")[2])


def is_of(endpoint: Endpoint, url: str) -> bool:
    """Whether a URL that somebody hands us is that of this very PACS."""
    ours, theirs = (_place(one) for one in (endpoint.url.removeprefix("sectra+"), url))
    return ours is not None and ours == theirs


def _place(url: str) -> tuple[object, ...] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    path = parts.path.rstrip("/")
    return parts.scheme, parts.hostname, port, path, parts.query, parts.fragment, "@" in url


def case_of(info: Mapping[str, Any], site: PacsSite) -> dict[str, str]:
    """A row of ``--cases``; empty where the PACS does not say whose image it is, or says another
    issuer than the site's."""
    accession, slide_id = info.get("accessionNumber"), info.get("lisSlideId")
    issuer, wanted = info.get("accessionNumberIssuer"), site.endpoint.sectra.issuer
    if not _is_text(accession) or not _is_text(slide_id) or (wanted and issuer != wanted):
        return {}
    row = {
        "trust": site.trust,
        "network": site.network,
        "accession": accession,
        "slide_id": slide_id,
        "issuer": issuer,
        "block": _name(info, "block"),
        "stain": stain_of(info),
    }
    return {name: str(value) for name, value in row.items() if _is_text(value)}


def stain_of(info: Mapping[str, Any]) -> str | None:
    return _name(info, "staining")


def _name(info: Mapping[str, Any], what: str) -> str | None:
    found = info.get(what)
    name = found.get("displayName") if isinstance(found, dict) else None
    return name if _is_text(name) else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def pacs_among(endpoints: Sequence[Endpoint], trust: str, name: str | None) -> Endpoint:
    """The PACS of that name, or the only one, if it takes this trust's flags.  Raises SinkError."""
    found = [one for one in endpoints if one.url.startswith("sectra+") and name in (None, one.name)]
    if len(found) != 1:
        raise SinkError("name the one sink that is the PACS: --sink NAME, of a file with sectra+")
    if not found[0].takes(trust):
        raise SinkError(f"sink {found[0].name} does not take this trust's flags")
    return found[0]
