"""The worklist of this machine, or of this site's database: straight into a receiver's inbox."""

from collections.abc import Mapping
from datetime import datetime

from wsi_ai.delivery.messages import Endpoint, Held, Message, Pulse, Receipt
from wsi_ai.delivery.receiver.inbox import Became, Inbox, open_inbox
from wsi_ai.delivery.receiver.incoming import Beat, Event, parse
from wsi_ai.delivery.succession import from_json
from wsi_ai.errors import Conflict, OutputError, Refused, SinkError, TryAgain

_SCHEME = "worklist"


def open_sink(endpoint: Endpoint) -> "WorklistSink":
    """For ``worklist:///absolute/path`` (a file of SQLite), and ``worklist+`` before the URL of a
    database.  Raises SinkError."""
    scheme, _, rest = endpoint.url.partition("://")
    kind = scheme.removeprefix(_SCHEME).removeprefix("+") or "sqlite"
    if kind == "sqlite" and not rest.startswith("/"):
        raise SinkError(f"sink {endpoint.name}: write worklist:///its/absolute/path")
    return WorklistSink(endpoint, rest if kind == "sqlite" else f"{kind}://{rest}")


class WorklistSink:
    """See ``contract.HeartbeatSink``.  A flag is a line once its receipt is given, and whoever
    looks at the list is told in the same transaction."""

    def __init__(self, endpoint: Endpoint, database: str) -> None:
        self.endpoint = endpoint
        self._database = database
        self._opened: Inbox | None = None

    def send(self, message: Message, at: datetime) -> Receipt:
        """See ``contract.Sink.send``."""
        event = _read(message.body) if message.is_whole() else None
        if not isinstance(event, Event) or event.event_id != message.event_id:
            raise Refused("its content is not what was kept")
        inbox = self._inbox()
        try:
            became = inbox.take(event, at.timestamp())
            held = inbox.holds(message.flag_id)
        except OutputError as error:
            raise TryAgain(str(error)) from None
        if became is Became.CONFLICT:
            raise Conflict("the worklist holds another answer", None, held)
        return Receipt(message.flag_id, self.endpoint.name, became.value, at, held)

    def beat(self, pulse: Pulse, at: datetime) -> None:
        """See ``contract.HeartbeatSink.beat``."""
        beat = _read(pulse.body)
        if not isinstance(beat, Beat):
            raise Refused("that is no heartbeat")
        inbox = self._inbox()
        try:
            inbox.hear(beat, at.timestamp())
        except OutputError as error:
            raise TryAgain(str(error)) from None

    def held(self, at: datetime) -> Mapping[str, Held]:
        """See ``contract.Sink.held``."""
        inbox = self._inbox()
        try:
            return {line["flag_id"]: from_json(line) for line in inbox.held()}
        except OutputError as error:
            raise TryAgain(str(error)) from None

    def check(self, at: datetime) -> str:
        """See ``contract.CheckedSink.check``."""
        return f"the worklist can be read; it has {len(self.held(at))} flags"

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _inbox(self) -> Inbox:
        """A database that is away now is tried again with the flag."""
        if self._opened is None:
            try:
                self._opened = open_inbox(self._database)
            except OutputError as error:
                raise TryAgain(str(error)) from None
        return self._opened


def _read(body: bytes) -> object:
    try:
        return parse(body)
    except ValueError:
        raise Refused("that is nothing that a worklist takes") from None
