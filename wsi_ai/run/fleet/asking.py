"""Flags are put by the run alone: its workers ask it, wherever they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wsi_ai.core.contracts import Post
from wsi_ai.core.flags import Standing
from wsi_ai.errors import OutputError
from wsi_ai.run.fleet import messages

Question = messages.Put | messages.AskStanding
Answer = messages.Kept | messages.StandingAnswer


@dataclass(frozen=True, slots=True)
class AskingPost:
    """See ``contracts.Post``: the run's own, at the other end of ``exchange``."""

    exchange: Callable[[Question], Any]
    """Raises OutputError where the run is gone."""

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask(messages.Put(flag, early=False))

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask(messages.Put(flag, early=True))

    def standing(self, flag_id: str) -> Standing | None:
        answer: messages.StandingAnswer = self.exchange(messages.AskStanding(flag_id))
        if answer.error:
            raise OutputError(answer.error)
        return answer.standing

    def _ask(self, put: messages.Put) -> dict[str, Any]:
        kept: messages.Kept = self.exchange(put)
        if kept.flag is None:
            raise OutputError(kept.error)
        return kept.flag


def answer_from(post: Post, question: Question) -> Answer:
    """The run's side."""
    match question:
        case messages.Put(flag, early):
            try:
                return messages.Kept(post.put_early(flag) if early else post.put(flag))
            except OutputError as error:
                return messages.Kept(None, str(error))
        case messages.AskStanding(flag_id):
            try:
                return messages.StandingAnswer(post.standing(flag_id))
            except OutputError as error:
                return messages.StandingAnswer(None, str(error))
