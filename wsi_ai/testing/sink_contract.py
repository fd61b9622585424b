"""What every sink must do: derive from it, and give a ``sink`` fixture whose receiver is up."""

import uuid
from datetime import UTC, datetime, timedelta

from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.messages import Message
from wsi_ai.testing.example_flags import example_message


def _now() -> datetime:
    return datetime.now(UTC)


class SinkContract:
    """A suite for a few lines.

    >>> class TestMySink(SinkContract):
    ...     @pytest.fixture
    ...     def sink(self): return open_sink(endpoint)
    """

    def message(self, flag_id: str) -> Message:
        """One that the receiver takes; say another where it takes some slides only."""
        return example_message(flag_id)

    def test_a_message_is_taken_and_a_receipt_names_it(self, sink: Sink) -> None:
        message, at = self.message(str(uuid.uuid4())), _now()
        receipt = sink.send(message, at)
        assert receipt.flag_id == message.flag_id
        assert receipt.sink == sink.endpoint.name
        assert receipt.accepted_at == at
        assert receipt.reference

    def test_the_same_message_may_be_sent_again(self, sink: Sink) -> None:
        message = self.message(str(uuid.uuid4()))
        sink.send(message, _now())
        sink.send(message, _now() + timedelta(seconds=1))
        held = sink.held(_now())
        assert held is None or held[message.flag_id].event_id == message.event_id

    def test_what_was_sent_can_be_read_back_or_not_at_all(self, sink: Sink) -> None:
        messages = [self.message(str(uuid.uuid4())) for _ in range(3)]
        for message in messages:
            sink.send(message, _now())
        held = sink.held(_now())
        assert held is None or {m.flag_id: held[m.flag_id].event_id for m in messages} == {
            m.flag_id: m.event_id for m in messages
        }

    def test_it_shows_no_secret(self, sink: Sink) -> None:
        shown = f"{sink!r} {sink.endpoint!r}"
        keys = [read().value.decode() for read in sink.endpoint.credentials.signing]
        assert not [key for key in keys if key in shown]

    def test_closing_it_twice_does_no_harm(self, sink: Sink) -> None:
        sink.close()
        sink.close()
