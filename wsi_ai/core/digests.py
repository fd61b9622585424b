"""The digest of a slide's bytes, known or still on its way."""

from dataclasses import dataclass
from typing import Protocol


class Digest(Protocol):
    """SHA-256, in hex, of all bytes that a slide is read from.  Threads share it.

    Nobody gets a part of it or a stand-in for it: who asks waits, and gets the digest of the very
    bytes, or an error.
    """

    @property
    def is_known(self) -> bool:
        """Whether who asks gets an answer at once."""
        ...

    def whole(self) -> str:
        """Raises SlideError where the bytes cannot be read or changed meanwhile, ShareTooSlow."""
        ...

    def parts(self) -> tuple[str, ...]:
        """Of each file, where there may come to be more of them.  Raises as ``whole``."""
        ...

    def touched(self) -> bool:
        """Whether it cannot be told that nothing was changed since the slide was opened: then what
        was read before it was known may be of other bytes.  Raises as ``whole``."""
        ...


@dataclass(frozen=True, slots=True)
class KnownDigest:
    """See ``Digest``."""

    sha256: str
    of_parts: tuple[str, ...] = ()
    is_known = True

    def whole(self) -> str:
        return self.sha256

    def parts(self) -> tuple[str, ...]:
        return self.of_parts

    def touched(self) -> bool:
        return False
