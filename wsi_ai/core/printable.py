"""Text from outside on its way to a terminal, a log or a page."""

import unicodedata

UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's controls, invisible marks (those that turn the direction of writing among them), halves
of characters, and ends of lines."""


def printable(text: str) -> str:
    """With an escape, as JSON has them, for all that would move a cursor, end a line, hide or turn
    what stands beside it, or could not be written at all."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in UNSEEN else c for c in text)


def _escaped(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
