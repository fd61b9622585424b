"""What a store's library raises, in our words.  Its own text may hold addresses and keys, and is
never shown."""

from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import (
    BaseError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from wsi_ai.errors import SlideChanged, SlideError, TransportError

_NO_RANGES = "the server does not give ranges of bytes; copy the slide here"
_CODES = {  # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    "RequestTimeTooSkewed": "this machine's clock is not the store's: set the clock (NTP), and run"
    " it again",
    "ExpiredToken": "the credentials for the store ran out: renew them, and run it again",
    "TokenRefreshRequired": "the credentials for the store ran out: renew them, and run it again",
    "InvalidToken": "the credentials for the store are not valid: renew them, and run it again",
    "NoSuchBucket": "there is no such bucket",
    "NotPartial": _NO_RANGES,  # the library's own word
}
_MAY_NOT = (
    "the store does not let these credentials read it: see docs/object-storage.md, and run it again"
)
_FAILED = "the store or the network failed, after several tries; run it again"


@contextmanager
def asked() -> Iterator[None]:
    """Of a store.  Raises TransportError, which says nothing of the slide; SlideChanged where the
    object is another one now; SlideError where there is none."""
    try:
        yield
    except (BaseError, OSError, NotImplementedError) as error:
        raise in_our_words(error) from None


def in_our_words(error: Exception) -> SlideError:
    text = str(error)
    known = next((words for code, words in _CODES.items() if code in text), None)
    if known is not None:
        return TransportError(known)
    if isinstance(error, PreconditionError):
        return SlideChanged("the object was replaced while it was read; run it again")
    if isinstance(error, FileNotFoundError | NotFoundError):
        return SlideError("there is no such object in the store")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return TransportError(_MAY_NOT)
    if isinstance(error, NotSupportedError | NotImplementedError):
        return TransportError(_NO_RANGES)
    return TransportError(_FAILED)
