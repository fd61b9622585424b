"""``s3://bucket/key``, ``https://host/path``, ``az://container/key``, ``gs://…``.  Pure."""

import ipaddress
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from wsi_ai.errors import SlideError

_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9]*)://?(?P<container>[^/]+)(?:/(?P<key>.*))?")
"""``Path`` makes one slash of two."""
SCHEMES = ("s3", "https", "http", "az", "gs")
_WEB = ("https", "http")
_LONGEST_KEY = 1024


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """An object, or what lies below a prefix."""

    scheme: str
    container: str
    """Bucket; of HTTPS, host and port."""
    key: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def is_web(self) -> bool:
        """Behind plain HTTPS nothing can be listed, nor written."""
        return self.scheme in _WEB

    def at(self, key: str) -> "ObjectAddress":
        return replace(self, key=key)

    def path(self) -> Path:
        """As slides are named everywhere else."""
        return Path(f"{self.scheme}://{self.container}/{self.key}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.container}/{self.key}"


def is_object(place: Path | str) -> bool:
    """Whether the place is such an address; it may still be one that is refused."""
    return str(place).partition(":/")[0] in SCHEMES


def object_address(place: Path | str) -> ObjectAddress:
    """Raises SlideError where it cannot be asked, or carries what does not belong in an address:
    addresses stand in records."""
    found = _ADDRESS.fullmatch(str(place))
    if found is None or found["scheme"] not in SCHEMES:
        raise SlideError("no address of an object: s3://BUCKET/KEY or https://HOST/PATH")
    if "@" in found["container"] or (found["scheme"] in _WEB and re.search("[?#]", str(place))):
        raise SlideError(
            "an address has no user and password, nor a web address ? or #; credentials come from"
            " the environment: docs/object-storage.md"
        )
    key = (found["key"] or "").strip("/")
    if len(key.encode()) > _LONGEST_KEY or not key.isprintable() or ".." in key.split("/"):
        raise SlideError("no object has such a key")
    if found["scheme"] == "http" and not is_loopback(found["container"]):
        raise SlideError("http:// is for a server on this machine only; use https://")
    return ObjectAddress(found["scheme"], found["container"], key)


def is_loopback(host_and_port: str) -> bool:
    host = re.sub(r":\d+$", "", host_and_port).strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
