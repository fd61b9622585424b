"""What a store's library raises, in our words.  Its own text may hold addresses and keys, and is
never shown."""

import errno
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

_CODES = {  # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    "RequestTimeTooSkewed": "this machine's clock is not the store's: set the clock (NTP), and run"
    " it again",
    "ExpiredToken": "the credentials for the store ran out: renew them, and run it again",
    "TokenRefreshRequired": "the credentials for the store ran out: renew them, and run it again",
    "InvalidToken": "the credentials for the store are not valid: renew them, and run it again",
    "NoSuchBucket": "there is no such bucket",
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
    except PreconditionError:
        raise SlideChanged("the object was replaced while it was read; run it again") from None
    except (FileNotFoundError, NotFoundError) as error:
        if "NoSuchBucket" in str(error):
            raise TransportError(_CODES["NoSuchBucket"]) from None
        raise SlideError("there is no such object in the store") from None
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise TransportError(_known(error) or _MAY_NOT) from None
    except (NotSupportedError, NotImplementedError):
        raise TransportError("the store cannot do what is asked of it: ranges of bytes") from None
    except BaseError as error:
        raise TransportError(_known(error) or _FAILED) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise TransportError(_FAILED) from None


def _known(error: Exception) -> str | None:
    text = str(error)
    return next((words for code, words in _CODES.items() if code in text), None)
