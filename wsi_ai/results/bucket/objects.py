"""Objects of results, put and taken; a store's refusals as OutputError."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from wsi_ai.errors import OutputError, SlideError
from wsi_ai.results.bucket.current import NAME, Current, Written, read_current
from wsi_ai.slides.stores.refusals import asked, in_our_words
from wsi_ai.slides.stores.store import Store

if TYPE_CHECKING:
    from obstore import PutMode

_KEPT = timedelta(days=1)
"""For so long a run that does not count any more, or never came to, can be looked at."""
_IN_PARTS_BYTES = 64 << 20
_REPLACED = (AlreadyExistsError, PreconditionError)


class Replaced(OutputError):
    """Another run published meanwhile."""


class Damaged(OutputError):
    """An object of the results is not what was written."""


@contextmanager
def results_store() -> Iterator[None]:
    """What it refuses is no answer about a slide.  Raises OutputError."""
    try:
        with asked():
            yield
    except SlideError as error:
        raise OutputError(f"the store of results: {error}") from None


def check_bucket(store: Store, prefix: str) -> None:
    """That it refuses to overwrite when asked to: else two runs would both be current.  Raises
    OutputError where it does not, or cannot be written to."""
    key = f"{prefix}/.wsi-ai-check-{uuid4()}".lstrip("/")
    with results_store():
        obstore.put(store, key, b"1", mode="create", use_multipart=False)
    try:
        if not (_refuses(store, key, "create") and _refuses(store, key, {"e_tag": '"of-another"'})):
            raise OutputError(
                "the bucket overwrites objects although it is asked not to (If-None-Match,"
                " If-Match): results of two runs could mix; choose another store for --out"
            )
    finally:
        with results_store():
            obstore.delete(store, [key])


def _refuses(store: Store, key: str, mode: "PutMode") -> bool:
    """Raises OutputError where the store does not even know the condition."""
    try:
        obstore.put(store, key, b"2", mode=mode, use_multipart=False)
    except _REPLACED:
        return True
    except (BaseError, OSError) as error:
        raise OutputError(f"the store of results: {in_our_words(error)}") from None
    return False


def current_of(store: Store, place: str) -> tuple[Current, str] | None:
    """The run that counts in a place, and the tag of what says so; ``None`` where there are no
    results.  What lies there besides is not believed.  Raises OutputError, ResultError."""
    try:
        with asked():
            answer = obstore.get(store, f"{place}/{NAME}")
            content, tag = bytes(answer.bytes()), answer.meta["e_tag"]
    except SlideError as error:
        if type(error) is SlideError:  # there is no such object
            return None
        raise OutputError(f"the store of results: {error}") from None
    return read_current(content), tag or ""


def make_current(store: Store, place: str, run: Current, before: str | None) -> str:
    """Only where what was current is still that of the tag ``before``; the new tag.  Raises
    Replaced, OutputError."""
    mode: PutMode = "create" if before is None else {"e_tag": before}
    try:
        made = obstore.put(store, f"{place}/{NAME}", run.content(), mode=mode, use_multipart=False)
    except _REPLACED:
        raise Replaced(
            "another run published this slide meanwhile, and its results stand; run it again"
        ) from None
    except (BaseError, OSError) as error:
        raise OutputError(f"the store of results: {in_our_words(error)}") from None
    return made["e_tag"] or ""


def put_file(store: Store, key: str, path: Path) -> Written:
    content = path.read_bytes()
    with results_store():
        obstore.put(store, key, content, use_multipart=len(content) > _IN_PARTS_BYTES)
    return Written(len(content), hashlib.sha256(content).hexdigest())


def take_file(store: Store, key: str, told: Written, path: Path) -> None:
    """Raises Damaged where it is not what was written, OutputError."""
    try:
        with asked():
            content = bytes(obstore.get(store, key).bytes())
    except SlideError as error:
        if type(error) is SlideError:  # there is no such object
            raise Damaged("an object of the results is gone") from None
        raise OutputError(f"the store of results: {error}") from None
    if (len(content), hashlib.sha256(content).hexdigest()) != (told.size, told.sha256):
        raise Damaged("an object of the results is not what was written")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def sweep(store: Store, place: str, current: Current) -> None:
    """Runs that do not count, a day after they were written."""
    limit, runs = datetime.now(UTC) - _KEPT, dict[str, list[str]]()
    young = {str(current.run), NAME}
    with results_store():
        for page in obstore.list(store, f"{place}/"):
            for meta in page:
                run = meta["path"][len(place) + 1 :].partition("/")[0]
                runs.setdefault(run, []).append(meta["path"])
                if meta["last_modified"] > limit:
                    young.add(run)
        for run, keys in runs.items():
            if run not in young:
                obstore.delete(store, keys)
