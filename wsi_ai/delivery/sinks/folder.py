"""A directory as receiver, for sites that start with one: a file per revision, never changed."""

import errno
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wsi_ai.core.files import write_whole
from wsi_ai.delivery.messages import Endpoint, Message, Receipt
from wsi_ai.errors import Refused, SinkError, TryAgain

_SUFFIX = ".cloudevent.json"


def open_sink(endpoint: Endpoint) -> "FolderSink":
    """For ``file:///absolute/path``.  Raises SinkError."""
    parts = urlsplit(endpoint.url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise SinkError(f"sink {endpoint.name}: a folder is named by file:///its/absolute/path")
    if endpoint.heartbeat_s is not None:
        raise SinkError(f"sink {endpoint.name}: a folder takes no heartbeat; leave out heartbeat_s")
    return FolderSink(endpoint, Path(unquote(parts.path)))


class FolderSink:
    """Writes ``<flag id>.<revision>.cloudevent.json``: whole or not at all, and named by ids that
    tell no one whose slide it is."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self._folder = folder

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contracts.Sink.send``.  The receipt is given once the disk has it."""
        path = self._folder / f"{message.flag_id}.{message.revision:06d}{_SUFFIX}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                write_whole(path, message.body)
            elif path.read_bytes() != message.body:
                raise Refused("another flag lies under this flag's name")
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "unknown")
            raise TryAgain(f"the folder cannot be written: {name}") from None
        return Receipt(message.flag_id, self.endpoint.name, path.name, at)

    def held(self, at: datetime) -> Mapping[str, int]:
        """See ``contracts.Sink.held``."""
        newest: dict[str, int] = {}
        for path in self._folder.glob(f"*{_SUFFIX}"):
            flag_id, revision = path.name.removesuffix(_SUFFIX).split(".")
            newest[flag_id] = max(int(revision), newest.get(flag_id, 0))
        return newest

    def close(self) -> None: ...
