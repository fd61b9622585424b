"""What an archive says of what it was asked to keep (PS3.18 10.5), and the request.  Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wsi_ai.schemas.reading import Unreadable, from_json

_FAILED, _REFERENCED, _UID, _REASON = "00081198", "00081199", "00081155", "00081197"
_OUT_OF_RESOURCES = range(0xA700, 0xA800)


@dataclass(frozen=True, slots=True)
class Stored:
    """Of one instance."""

    kept: bool
    reason: int | None = None
    """Why not, where the archive says so (PS3.18 table 10.5.3-2)."""

    @property
    def may_pass(self) -> bool:
        """Whether the same may be kept another time."""
        return self.reason is None or self.reason in _OUT_OF_RESOURCES


def body_of(instance: bytes, boundary: str) -> tuple[str, bytes]:
    """Content type and body that ask for one instance to be kept."""
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return kind, head + instance + f"\r\n--{boundary}--\r\n".encode()


def outcome(body: bytes, sop_uid: str) -> Stored | None:
    """``None`` where the answer does not say.  Only what it says of this very instance counts,
    whatever its status is."""
    try:
        answer = from_json(body)
        answer = answer[0] if isinstance(answer, list) else answer
        if any(uid == sop_uid for uid, _ in _items(answer, _REFERENCED)):
            return Stored(kept=True)
        for uid, reason in _items(answer, _FAILED):
            if uid == sop_uid:
                return Stored(kept=False, reason=reason)
    except (Unreadable, KeyError, TypeError, AttributeError, IndexError, ValueError):
        return None
    return None


def _items(answer: Mapping[str, Any], tag: str) -> list[tuple[str, int | None]]:
    found = []
    for item in (answer.get(tag) or {}).get("Value") or []:
        reasons = (item.get(_REASON) or {}).get("Value") or [None]
        reason = None if reasons[0] is None else int(reasons[0])
        found.append((str(item[_UID]["Value"][0]), reason))
    return found
