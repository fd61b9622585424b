"""Flags of a job go out as long as the job is this worker's, and no longer."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from wsi_ai.core.flags import Standing
from wsi_ai.delivery.messages import Kind, Retraction
from wsi_ai.delivery.outbox import Outbox, revisions
from wsi_ai.delivery.posting import Posting
from wsi_ai.errors import OutputError
from wsi_ai.service.jobs import Job
from wsi_ai.service.queue import LostJob, Queue

_AGAIN = "again_after"
"""The retraction that a flag's slide came again after."""


@dataclass(slots=True)
class JobPost:
    """See ``contracts.Post``.  Each flag is kept in one transaction with the question whether the
    job is still ours: so one that was taken back meanwhile stays taken back."""

    posting: Posting
    queue: Queue
    mine: Job
    flag_ids: list[str] = field(default_factory=list)
    unkept: bool = False
    """A flag could not be kept, or whether one stands could not be asked: the job is not done."""

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        with self._minding():
            kept = self._outbox.put(self._again(flag), self.posting.endpoints)
        return self._sent(kept)

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return self._sent(self._outbox.put_early(self._again(flag), self.posting.endpoints))

    def standing(self, flag_id: str) -> Standing | None:
        with self._minding():
            found = self.posting.standing(flag_id)
        self._note(flag_id)
        return found

    def reach_all(self) -> None:
        """What was said before a sink was set up reaches it too, now that it is asked for."""
        outbox = self.posting.relay.outbox
        for flag_id in self.flag_ids:
            with outbox.writing() as connection:
                endpoints = self.posting.endpoints
                revisions.route_to_new(connection, flag_id, endpoints, outbox.clock())
        self.posting.relay.wake()

    @contextmanager
    def _minding(self) -> Iterator[None]:
        try:
            yield
        except OutputError as error:
            self.unkept = self.unkept or not isinstance(error, LostJob)
            raise

    @property
    def _outbox(self) -> Outbox:
        guard = partial(self.queue.fence, self.mine)
        return replace(self.posting.relay.outbox, guard=guard)

    def _sent(self, kept: dict[str, Any]) -> dict[str, Any]:
        self.posting.relay.wake()
        self._note(kept["flag_id"])
        return kept

    def _note(self, flag_id: str) -> None:
        if flag_id not in self.flag_ids:
            self.flag_ids.append(flag_id)

    def _again(self, flag: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of a slide whose image was taken from it, and given back to it since: the same answer is
        said anew, for what was taken back stays so until the answer is another one."""
        with self.posting.relay.outbox.reading() as connection:
            last = revisions.newest(connection, flag["flag_id"])
        if last is None or last.flag is None:
            return flag
        after = last.flag.get("extensions", {}).get(_AGAIN)
        if last.said.kind is Kind.RETRACTED and _came_after(self.mine, last.flag):
            after = last.said.event_id
        if after is None:
            return flag
        return {**flag, "extensions": {**flag["extensions"], _AGAIN: after}}


@dataclass(frozen=True, slots=True)
class SilentPost:
    """Of a model on trial: its flags are written beside its results, and go nowhere."""

    flag_ids: tuple[str, ...] = ()
    unkept: bool = False

    def put(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return dict(flag)

    def put_early(self, flag: Mapping[str, Any]) -> dict[str, Any]:
        return dict(flag)

    def standing(self, flag_id: str) -> Standing | None:
        return None

    def reach_all(self) -> None: ...


def _came_after(mine: Job, flag: Mapping[str, Any]) -> bool:
    """Whether the job was asked for after its slide was taken to be another's."""
    if flag["retraction_reason"] != Retraction.SLIDE_MISIDENTIFIED:
        return False
    issued = datetime.fromisoformat(flag["timestamps"]["issued"])
    return mine.created >= issued.astimezone(UTC).timestamp()
