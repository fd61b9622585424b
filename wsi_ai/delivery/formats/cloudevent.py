"""The flag as the webhook sends it: a CloudEvent in structured mode.  Nothing is lost in it."""

from wsi_ai.delivery.events import message_of
from wsi_ai.delivery.formats.event import FlagEvent, Summary, summary_of
from wsi_ai.schemas.reading import from_json


def render(event: FlagEvent) -> bytes:
    return message_of(event.flag).body


def parse(content: bytes) -> Summary:
    return summary_of(from_json(content)["data"])
