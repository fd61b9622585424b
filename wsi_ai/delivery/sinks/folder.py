"""A directory as receiver, for sites that start with one: a file per revision, never changed."""

import errno
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from wsi_ai.core.files import sync
from wsi_ai.delivery.events import answer_digest
from wsi_ai.delivery.messages import Endpoint, Held, Message, Receipt
from wsi_ai.delivery.sinks.addresses import refuse_heartbeat
from wsi_ai.delivery.succession import Standing, held_of, standing
from wsi_ai.errors import Conflict, Refused, SinkError, TryAgain

_SUFFIX = ".cloudevent.json"


def open_sink(endpoint: Endpoint) -> "FolderSink":
    """For ``file:///absolute/path``.  Raises SinkError."""
    parts = urlsplit(endpoint.url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise SinkError(f"sink {endpoint.name}: a folder is named by file:///its/absolute/path")
    refuse_heartbeat(endpoint, "a folder")
    return FolderSink(endpoint, Path(unquote(parts.path)))


class FolderSink:
    """Writes ``<flag id>.<revision>.cloudevent.json``: whole or not at all, and named by ids that
    tell no one whose slide it is."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self._folder = folder

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contracts.Sink.send``.  The receipt is given once the disk has it."""
        if not message.is_whole():
            raise Refused("its content is not what was kept")
        path = self._folder / f"{message.flag_id}.{message.revision:06d}{_SUFFIX}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            held = self._take(path, message)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "unknown")
            raise TryAgain(f"the folder cannot be written: {name}") from None
        return Receipt(message.flag_id, self.endpoint.name, path.name, at, held)

    def held(self, at: datetime) -> Mapping[str, Held]:
        """See ``contracts.Sink.held``."""
        newest: dict[str, Path] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            newest[path.name.partition(".")[0]] = path
        return {flag_id: _held(path) for flag_id, path in newest.items()}

    def check(self, at: datetime) -> str:
        """See ``contract.CheckedSink.check``."""
        if not self._folder.is_dir():
            raise TryAgain("there is no such folder; the first flag will make it, if it may")
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise TryAgain("the folder cannot be written")
        return f"the folder can be written; it has {len(self.held(at))} flags"

    def _take(self, path: Path, message: Message) -> Held | None:
        """Write it where it follows what lies there; what says nothing new is there already.
        Returns what lay there."""
        there = sorted(self._folder.glob(f"{message.flag_id}.*{_SUFFIX}"))
        flag = _flag(message.body)
        held = _held(there[-1]) if there else None
        for one in map(_held, there):
            if one.event_id == message.event_id and one.answer == answer_digest(flag):
                return held
        match standing(flag, held):
            case Standing.FOLLOWS:
                _write(path, message.body)
                held = held_of(flag, message.event_id)
            case Standing.CONFLICTS:
                raise Conflict("the folder holds another answer", None, held)
        return held

    def close(self) -> None: ...


def _held(path: Path) -> Held:
    """Raises Refused where a file is none of ours."""
    body = path.read_bytes()
    flag = _flag(body)
    return held_of(flag, str(json.loads(body)["id"]))


def _flag(body: bytes) -> dict[str, Any]:
    """Raises Refused where it is none of ours."""
    try:
        event = json.loads(body)
        flag: dict[str, Any] = event["data"]
        held_of(flag, event["id"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused("that is no flag of ours, under a flag's name") from None
    return flag


def _name(aside: Path, path: Path) -> None:
    """Give it its name, unless another writer was faster."""
    try:
        os.link(aside, path)
        aside.unlink()
    except FileExistsError:
        aside.unlink()
        raise TryAgain("another one writes the same flag") from None
    except OSError:  # a share without hard links
        aside.rename(path)


def _write(path: Path, body: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    _name(aside, path)
    sync(path.parent)
