"""``dicomweb://host/base/studies/UID/series/UID``: which series of which archive.  Pure."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from wsi_ai.errors import SlideError, UnknownFormat
from wsi_ai.slides.places import as_written

SCHEMES = {"dicomweb": "https", "dicomweb+https": "https", "dicomweb+http": "http"}
_UID = r"[0-9]+(?:\.[0-9]+)*"
_SERIES = re.compile(rf"(?P<base>.*?)/studies/(?P<study>{_UID})/series/(?P<series>{_UID})/?")


@dataclass(frozen=True, slots=True)
class SeriesAddress:
    """One series; what is asked for is below it."""

    origin: str
    """Scheme, host and port."""
    base: str
    study: str
    series: str

    @property
    def url(self) -> str:
        return f"{self.origin}{self.base}/studies/{self.study}/series/{self.series}"


def is_dicomweb(place: Path | str) -> bool:
    return str(place).partition(":/")[0] in SCHEMES


def series_address(place: Path | str) -> SeriesAddress:
    """Raises UnknownFormat where it is no such address, SlideError where it may not be asked: in
    TLS, or on this machine; and no password in it."""
    parts = _split(place)
    found = _SERIES.fullmatch(parts.path)
    if parts.scheme not in SCHEMES or found is None or parts.query or parts.fragment:
        raise UnknownFormat("no address of a DICOM series: dicomweb://HOST/…/studies/…/series/…")
    return SeriesAddress(_origin(parts), found["base"], found["study"], found["series"])


def archive_url(place: Path | str) -> str:
    """What an archive's own address, ``dicomweb://host/base``, is asked at.  Raises as
    ``series_address``."""
    parts = _split(place)
    if parts.scheme not in SCHEMES or parts.query or parts.fragment:
        raise UnknownFormat("no address of a DICOM archive: dicomweb://HOST/…")
    return f"{_origin(parts)}{parts.path.rstrip('/')}"


def _origin(parts: SplitResult) -> str:
    """Raises SlideError."""
    if parts.username or parts.password:
        raise SlideError("no user or password in an address; see WSI_AI_DICOMWEB_BASIC")
    scheme = SCHEMES[parts.scheme]
    if not parts.hostname or (scheme == "http" and not _is_loopback(parts.hostname)):
        raise SlideError("dicomweb+http is for an archive on this machine only; use dicomweb://")
    return f"{scheme}://{parts.netloc}"


def _split(place: Path | str) -> SplitResult:
    text = as_written(place)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise UnknownFormat("the address has a port or a host that cannot be") from None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UnknownFormat("the address has signs that no address has")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
