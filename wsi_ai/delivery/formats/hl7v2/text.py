"""Segments, fields and escapes (HL7 2.5.1, 2.5 to 2.7).

Read here, and not by the library ``hl7``, because that one writes fields it cannot unescape, which
may name a patient, to the log.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsi_ai.errors import WsiAiError

SEPARATORS = "|^~\\&"
_NAMES = {"|": "F", "^": "S", "~": "R", "\\": "E", "&": "T"}
_UTF8 = frozenset({"", "UNICODE UTF-8", "UNICODE", "UTF-8", "UTF8"})
"""MSH-18: what is not ASCII is read as nothing else, for it could name another slide."""
_HEADER = 9
"""Length of ``MSH|^~\\&|``."""


class NotHl7(WsiAiError):
    """Bytes that are no message of HL7 version 2 in UTF-8."""


def escaped(text: str) -> str:
    """A value as it may stand in a field.  What would end a segment or a message is escaped too."""
    return "".join(map(_escaped, text))


def _escaped(sign: str) -> str:
    if sign in _NAMES:
        return f"\\{_NAMES[sign]}\\"
    control = ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0
    return f"\\X{sign.encode().hex().upper()}\\" if control else sign


def field(*components: str) -> str:
    """A field of components, each escaped; without the empty ones at its end."""
    return "^".join(map(escaped, components)).rstrip("^")


def segment(name: str, *fields: str) -> str:
    """Fields are escaped already."""
    return "|".join([name, *fields]).rstrip("|")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A message that was read, with the separators that it declares."""

    segments: Sequence[Sequence[str]]
    names: Mapping[str, str]
    """What an escape stands for."""
    component: str
    sub: str
    escape: str

    def of(self, name: str) -> Sequence[Sequence[str]]:
        return [one for one in self.segments if one[0] == name]

    def value(self, one: Sequence[str], number: int, component: int = 1) -> str:
        """Of a field, as HL7 numbers them; empty where there is none."""
        if one[0] == "MSH":
            number -= 1
        text = one[number] if number < len(one) else ""
        parts = text.split(self.component)
        return self._plain(parts[component - 1]) if component <= len(parts) else ""

    def first(self, name: str, number: int, component: int = 1) -> str:
        """Of the first such segment; empty where there is none."""
        found = self.of(name)
        return self.value(found[0], number, component) if found else ""

    def entity(self, name: str, number: int, component: int) -> str:
        """Of a field whose components are identifiers with parts of their own (EIP): the value."""
        found = self.of(name)
        text = found[0][number] if found and number < len(found[0]) else ""
        parts = text.split(self.component)
        whole = parts[component - 1] if component <= len(parts) else ""
        return self._plain(whole.partition(self.sub)[0])

    def _plain(self, text: str) -> str:
        sign = re.escape(self.escape)
        return re.sub(f"{sign}([^{sign}]*){sign}", self._meant, text)

    def _meant(self, match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("X") and re.fullmatch(r"X([0-9A-Fa-f]{2})+", name):
            return bytes.fromhex(name[1:]).decode("utf-8", "replace")
        return self.names.get(name, "")


def parsed(content: bytes) -> Parsed:
    """Raises NotHl7, which quotes nothing."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise NotHl7("a message that is not UTF-8") from None
    if not text.startswith("MSH") or len(text) < _HEADER:
        raise NotHl7("a message that does not begin with MSH")
    by, component, repetition, escape, sub = list(text[3:8])
    signs = {by, component, repetition, escape, sub}
    if len(signs) < len(SEPARATORS) or any(one.isalnum() or one.isspace() for one in signs):
        raise NotHl7("a message whose separators cannot be told apart")
    lines = filter(None, re.split(r"\r\n?|\n", text))
    names = {"F": by, "S": component, "R": repetition, "E": escape, "T": sub, ".br": "\n"}
    message = Parsed([line.split(by) for line in lines], names, component, sub, escape)
    if not text.isascii() and message.first("MSH", 18) not in _UTF8:
        raise NotHl7("a message that says it is in other signs than UTF-8")
    return message
