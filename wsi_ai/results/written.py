"""What a folder of results holds, read back: by what it is known, and within which limits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsi_ai.delivery.messages import Version
from wsi_ai.schemas.reading import TABLE_BYTES, Unreadable, content_of, from_json

FLAG, RECORD = "flag.json", "run.json"
FINDINGS, OBJECTS = "findings.geojson", "objects.csv"
FINDINGS_BYTES = 1 << 29
"""There may be tens of thousands, each with an outline of thousands of points."""
_KNOWN = frozenset(version.value for version in Version)


def is_known(flag: Mapping[str, Any]) -> bool:
    """Whether it is of a version that this software reads.  Raises KeyError or
    TypeError."""
    return flag["schema_version"] in _KNOWN


def read_object(path: Path, most_bytes: int = TABLE_BYTES) -> dict[str, Any]:
    """Of a file of JSON.  Raises OSError or Unreadable."""
    return as_object(content_of(path, most_bytes))


def as_object(content: bytes) -> dict[str, Any]:
    """Raises Unreadable."""
    found = from_json(content)
    if not isinstance(found, dict):
        raise Unreadable("is not as this software writes it")
    return found
