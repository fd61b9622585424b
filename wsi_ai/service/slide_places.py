"""Where a job's slide is: a template of the site's, filled in, is an address; an address is a file.

``file:///scans/S26-1*.svs``: an asterisk of the template stands for anything; one of a value does
not, for it is written ``%2A``.
"""

import glob
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from wsi_ai.errors import InputError, WsiAiError
from wsi_ai.slides.places import is_address
from wsi_ai.slides.quiet import at_rest

FIELDS = "accession", "slide_id", "study_uid", "series_uid"
_NAMED = re.compile(r"\{([^{}]*)\}")
_WITHIN = frozenset("*?")
_LONGEST = 200


class NotReady(WsiAiError):
    """The slide is not there yet, or is still being written."""


class NotClear(WsiAiError):
    """Which file is the slide cannot be told."""


def check_template(template: str) -> None:
    """Raises InputError unless it is a folder's path or an address, with fields that there are."""
    unknown = [name for name in _NAMED.findall(template) if name not in FIELDS]
    if unknown or re.search(r"[{}]", _NAMED.sub("", template)):
        raise InputError(f"a slide's place has {', '.join(f'{{{name}}}' for name in FIELDS)} only")
    if not {"slide_id", "series_uid"} & set(_NAMED.findall(template)):
        raise InputError("a slide's place needs {slide_id} or {series_uid}: it is one slide's")
    if not template.startswith("/") and not is_address(template):
        raise InputError("a slide's place is an absolute path, or an address as dicomweb://…")
    if _NAMED.search(template.partition("://")[2].partition("/")[0]):
        raise InputError("the host of a slide's place is always the same")


def address_of(template: str, values: Mapping[str, str | None]) -> str:
    """Raises InputError, which quotes nothing, where a value is missing or could lead elsewhere."""

    def fill(match: re.Match[str]) -> str:
        value = values.get(match[1]) or ""
        if not _is_one_name(value):
            raise InputError(f"the notice has no {match[1]} that a file or series can have")
        return quote(value, safe="")

    if is_address(template):
        return _NAMED.sub(fill, template)
    kept = "".join(
        part if part in _WITHIN or _NAMED.fullmatch(part) else quote(part)
        for part in re.split(r"(\{[^{}]*\}|[*?])", template)
    )
    return f"file://{_NAMED.sub(fill, kept)}"


def _is_one_name(value: str) -> bool:
    plain = value.isprintable() and value.strip() == value and not re.search(r"[/\\]", value)
    return plain and 0 < len(value) <= _LONGEST and value.strip(".") != ""


def found_file(address: str) -> Path:
    """The one file, or folder, at a ``file:`` address.  Raises NotReady or NotClear."""
    found = sorted(_matches(address)) if address.startswith("file:") else []
    if not found:
        raise NotReady("the slide's file is not there yet")
    if len(found) > 1:
        raise NotClear(f"{len(found)} files fit the slide's place: which one is it?")
    return found[0]


def settled_file(address: str, quiet_s: float) -> Path:
    """The same once it is left alone.  Raises NotReady too while it is written to."""
    path = found_file(address)
    _, growing = at_rest([path], quiet_s)
    if growing:
        raise NotReady("the slide is still being written")
    return path


def state_of(address: str) -> tuple[str, ...]:
    """Size and time of a file, where it is there: with them, it is another slide's question."""
    try:
        stat = found_file(address).stat()
    except (NotReady, NotClear, OSError):
        return ()
    return f"{stat.st_size}", f"{stat.st_mtime_ns}"


def _matches(address: str) -> Iterator[Path]:
    path = urlsplit(address.replace("?", "\0"))._replace(scheme="", netloc="").geturl()
    parts = re.split(r"([*\0])", path)
    pattern = "".join(
        {"*": "*", "\0": "?"}.get(part) or glob.escape(unquote(part)) for part in parts
    )
    return (Path(one) for one in glob.iglob(pattern))
