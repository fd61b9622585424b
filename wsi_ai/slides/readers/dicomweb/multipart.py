"""``multipart/related`` (RFC 2387), as archives answer with frames.  Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BOUNDARY = re.compile(r'boundary="?([^";,]{1,200})"?', re.IGNORECASE)
_SYNTAX = re.compile(r'transfer-syntax="?([0-9.]{1,64})', re.IGNORECASE)
_USUAL = {
    "image/jpeg": "1.2.840.10008.1.2.4.50",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "application/octet-stream": "1.2.840.10008.1.2.1",
}
"""What a type means that names no transfer syntax (PS3.18 table 8.7.3-2)."""


class NotMultipart(ValueError):
    """No such answer, or one that was cut short."""


@dataclass(frozen=True, slots=True)
class BodyPart:
    syntax: str
    """Transfer syntax; empty where neither the part nor the answer names one."""
    content: bytes


def parts_of(content_type: str, body: bytes) -> list[BodyPart]:
    """Raises NotMultipart.  An answer of another kind is one part, as some archives give one
    frame."""
    if not content_type.lower().startswith("multipart/"):
        return [BodyPart(_syntax(content_type), body)]
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise NotMultipart
    return list(_parts(content_type, body, b"--" + found[1].strip().encode("ascii", "replace")))


def _parts(outer: str, body: bytes, mark: bytes) -> Iterator[BodyPart]:
    at = body.find(mark)
    while at >= 0:
        start = at + len(mark)
        if body[start : start + 2] == b"--":
            return
        head_end = body.find(b"\r\n\r\n", start)
        at = body.find(b"\r\n" + mark, head_end) if head_end >= 0 else -1
        if at < 0:
            raise NotMultipart
        head = body[start:head_end].decode("latin-1")
        yield BodyPart(_syntax(_content_type(head) or outer) or _syntax(outer),
                       body[head_end + 4 : at])  # fmt: skip
        at += 2
    raise NotMultipart


def _content_type(head: str) -> str:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            return value.strip()
    return ""


def _syntax(content_type: str) -> str:
    if found := _SYNTAX.search(content_type):
        return found[1]
    plain = content_type.partition(";")[0].strip().lower()
    inside = re.search(r'type="?([a-z]+/[a-z0-9-]+)', content_type.lower())
    return _USUAL.get(plain) or _USUAL.get(inside[1] if inside else "", "")
