"""What every format starts from, and what must come back out of each of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wsi_ai.core.flags import Level
from wsi_ai.delivery.events import answer_digest, kind_of, message_of
from wsi_ai.delivery.messages import Kind, Message
from wsi_ai.errors import Refused
from wsi_ai.schemas.reading import Unreadable, from_json


@dataclass(frozen=True, slots=True)
class FlagEvent:
    """One revision of a flag, under the id that it is sent by.  Its slide is known."""

    event_id: str
    answer: str
    """The flag's ``answer_digest``."""
    flag: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.flag["tenant"] is None or self.flag["case"] is None:
            raise Refused("whose slide it is is not known: no case system can take this flag")

    @property
    def is_retraction(self) -> bool:
        return kind_of(self.flag) is Kind.RETRACTED


@dataclass(frozen=True, slots=True)
class Summary:
    """What a flag says in every format."""

    flag_id: str
    revision: int
    retracted: bool
    accession: str
    slide_id: str
    level: Level
    score: float | None
    threshold: float
    weights_sha256: str
    statement: str


def event_for(flag: Mapping[str, Any]) -> FlagEvent:
    """The event that the outbox sends this flag as.  Raises Refused where it sends none."""
    return FlagEvent(message_of(flag).event_id, answer_digest(flag), flag)


def event_of(message: Message) -> FlagEvent:
    """The event of a message on its way.  Raises Refused."""
    try:
        event = from_json(message.body)
        flag = event["data"]
        return FlagEvent(message.event_id, answer_digest(flag), flag)
    except (Unreadable, KeyError, TypeError, AttributeError):
        raise Refused("its content is no flag") from None


def summary_of(flag: Mapping[str, Any]) -> Summary:
    return Summary(
        flag_id=flag["flag_id"],
        revision=flag["revision"],
        retracted=kind_of(flag) is Kind.RETRACTED,
        accession=flag["case"]["accession"]["value"],
        slide_id=flag["slide"]["slide_id"]["value"],
        level=Level(flag["result"]["level"]),
        score=flag["result"]["score"],
        threshold=flag["result"]["threshold"]["value"],
        weights_sha256=flag["model"]["weights_sha256"],
        statement=flag["regulatory"]["statement"],
    )
