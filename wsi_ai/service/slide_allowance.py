"""Which slides a caller from outside may name: those below folders, or beginnings of addresses,
that the site allows for the trust.

What is named is opened later, by a worker with the rights of a worker: a path that climbs out, a
link that leads out, a wildcard or another host would be somebody else's slide, or no slide at all.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from wsi_ai.core.printable import printable
from wsi_ai.errors import InputError

LONGEST = 1000
_SAFE = "!$&'()+,;=:@~"
"""Of an address, as it is; an asterisk would stand for any file."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class Below:
    """A folder, or the beginning of an address."""

    scheme: str
    """``file`` for a folder."""
    host: str
    parts: tuple[str, ...]


class NotAllowedHere(InputError):
    """The slide lies nowhere that this trust's slides may; quotes nothing."""


def below(text: str) -> Below:
    """Of the site's settings.  Raises InputError."""
    found = _place(text)
    if found is None or not (found.parts or found.host):
        raise InputError("slides lie below an absolute path or an address, without .. in it")
    return found


def allowed_address(text: str, places: Iterable[Below]) -> str:
    """The slide's address as jobs have it, which stands for one slide.  Raises NotAllowedHere."""
    found = _place(text)
    if found is None or not any(_is_inside(found, place) for place in places):
        raise NotAllowedHere("the slide is not below a place that is allowed for this trust")
    path = "".join("/" + quote(part, safe=_SAFE) for part in found.parts)
    return f"{found.scheme}://{found.host}{path}"


def _place(text: str) -> Below | None:
    """``None`` for what could mean more than one thing, or another thing to the worker."""
    if not 0 < len(text) <= LONGEST or not _is_one_thing(text):
        return None
    if text.startswith("/"):
        return _of_parts("file", "", text.split("/"))
    try:
        parts = urlsplit(text)
        port = parts.port
        names = [unquote(part, errors="strict") for part in parts.path.split("/")]
    except ValueError:
        return None
    has_host = parts.scheme != "file"
    known = _SCHEME.fullmatch(parts.scheme) and text.startswith(f"{parts.scheme}://")
    odd = "?" in text or "#" in text or "@" in parts.netloc or port == 0
    if not known or odd or bool(parts.netloc) is not has_host:
        return None
    return _of_parts(parts.scheme, parts.netloc.lower(), names)


def _of_parts(scheme: str, host: str, names: Sequence[str]) -> Below | None:
    """Of a path that was split at its slashes; one at its end means nothing."""
    parts = tuple(names[1:-1] if names[-1] == "" else names[1:])
    plain = all(part.strip(".") and "/" not in part and _is_one_thing(part) for part in parts)
    return Below(scheme, host, parts) if plain else None


def _is_one_thing(text: str) -> bool:
    return printable(text) == text and "\\" not in text


def _is_inside(found: Below, place: Below) -> bool:
    same = (found.scheme, found.host) == (place.scheme, place.host)
    inside = same and len(found.parts) > len(place.parts)
    if not inside or found.parts[: len(place.parts)] != place.parts:
        return False
    return found.scheme != "file" or _leads_inside(found, place)


def _leads_inside(found: Below, place: Below) -> bool:
    """By the links that are there now."""
    try:
        return _path(found).resolve().is_relative_to(_path(place).resolve())
    except (OSError, RuntimeError):  # a circle of links
        return False


def _path(place: Below) -> Path:
    return Path("/", *place.parts)
