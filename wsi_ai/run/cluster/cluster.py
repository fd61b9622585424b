"""The run's side of a cluster: gives each worker two slides, and hears of everything.

Dask carries slides and answers, and notices what ends.  Which worker gets which slide, and what
becomes of one whose worker ended, is decided here, by the rules that the fleet has.
"""

import hashlib
import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty
from typing import Any, Generic

from distributed import Future

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Post
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.cluster.given_up import GivenUp
from wsi_ai.run.cluster.messages import Ended, FromWorker, GivenBack, Result, WorkerGone
from wsi_ai.run.cluster.roster import LOOK_S, Member, Roster
from wsi_ai.run.cluster.session import SECOND_PATIENCE_S, Inbox, News, Session, result_of
from wsi_ai.run.cluster.settings import AT_HAND
from wsi_ai.run.cluster.worker import RunTerms, sealed_name
from wsi_ai.run.fleet import messages
from wsi_ai.run.fleet.asking import answer_from
from wsi_ai.run.fleet.dispatch import Dispatch
from wsi_ai.run.outcome import Out

log = logging.getLogger(__name__)
_ENDED = "the worker that ran the slide was killed, froze or lost its machine"


@dataclass(slots=True)
class ClusterRun(Generic[Out]):
    """Runs slides on the workers of a cluster.  Flags are put to ``post`` here, by one process."""

    session: Session
    assembly: Assembly[Out]
    post: Post
    slides: Sequence[Path]
    roster: Roster
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    _dispatch: Dispatch = field(init=False)
    _with: dict[int, tuple[Future[Any], Member]] = field(default_factory=dict)
    """Slides that are with a worker: the task, and the worker."""
    _given_up: GivenUp[Out] = field(init=False)

    def __post_init__(self) -> None:
        self._dispatch = Dispatch(deque(range(len(self.slides))), set())
        self._given_up = GivenUp(self.assembly, self.post, SECOND_PATIENCE_S)

    def outcomes(self) -> Iterator[Out]:
        """One a slide and model, as each slide is done.

        Raises ModelError or DeviceError where no worker can run slides, or none comes, or the
        scheduler is gone: what is published by then stays.
        """
        with self.session.run(self._terms()) as inbox:
            try:
                while self._given_up or not self._dispatch.over:
                    yield from self._look()
                    self._hand_out()
                    if (news := _next(inbox)) is not None:
                        yield from self._take(news)
            finally:
                self._with.clear()

    def _terms(self) -> RunTerms:
        begun = time.time() - (time.perf_counter() - self.assembly.epoch)
        hosts = Counter(worker["host"] for worker in self.session.workers().values())
        key = sealed_name(self.run)
        return RunTerms(self.run, self.session.topic, self.assembly, begun, dict(hosts), key)

    def _look(self) -> Iterator[Out]:
        """Who is there: workers come and go."""
        if not self.roster.is_due():
            return
        yield from self._given_up.outcomes()
        for member in self.roster.look(self.session.workers()):
            yield from self._without(member, _ENDED)
        self._dispatch.slots |= self.roster.slots

    def _hand_out(self) -> None:
        for member in self.roster.members():
            while self._dispatch.held_by(member.slot) < AT_HAND:
                number = self._dispatch.next_for(member.slot)
                if number is None:
                    break
                self._give(number, member)

    def _give(self, number: int, member: Member) -> None:
        slide = messages.RunSlide(number, self.slides[number])
        last = self._dispatch.is_last_try(number)
        key = f"{_digest(slide.path, self.assembly.cards)}-{number}-{uuid.uuid4().hex[:8]}"
        future = self.session.submit(self.run, slide, member.address, key, alone=last)
        self._with[number] = future, member

    def _take(self, news: News) -> Iterator[Out]:
        match news:
            case FromWorker(question=""):
                self.roster.show(news)
            case FromWorker():
                self.session.answer(news, answer_from(self.post, news.news))
            case WorkerGone(address, expected):
                if (member := self.roster.gone(address)) is not None:
                    yield from self._without(member, "" if expected else _ENDED)
            case (number, future):
                yield from self._over(number, future)

    def _over(self, number: int, future: Future[Any]) -> Iterator[Out]:
        """A task is over; one that was given up meanwhile is no news."""
        current, member = self._with.get(number, (None, None))
        if current is not future or member is None:
            return
        match result_of(future):
            case None:
                self.session.hear_of(number, future, self.run)
            case WorkerGone():
                self.roster.leave(member)
                yield from self._without(member, _ENDED)
            case Ended(_, result):
                yield from self._ended(number, member, result)

    def _ended(self, number: int, member: Member, result: Result) -> Iterator[Out]:
        match result:
            case messages.Done(_, outcomes):
                del self._with[number]
                self._dispatch.done(member.slot, number)
                yield from (replace(outcome, device=member.name) for outcome in outcomes)
            case GivenBack():
                self.roster.leave(member)
                yield from self._without(member, "")
            case messages.RuntimeRefused(reason, model):
                log.error("%s is not used: %s", member.name, reason)
                self.roster.refuse(member, ModelError(reason) if model else DeviceError(reason))
                yield from self._without(member, "")
            case messages.Lost(reason):
                self.roster.leave(member)
                self.session.restart(member.address)
                yield from self._without(member, reason)

    def _without(self, member: Member, reason: str) -> Iterator[Out]:
        """The worker is not there any more.  Where there is a reason to suspect what it held, that
        is tried once more, alone; else it is for any other."""
        for number in [n for n, (_, holder) in self._with.items() if holder is member]:
            del self._with[number]
        if not reason:
            self._dispatch.left(member.slot)
            return
        held, given_up = self._dispatch.ended(member.slot)
        if held:
            log.error("%s: %s", member.name, reason)
        for number in given_up:
            told = f"{reason}; tried twice, the second time alone on {member.name}"
            self._given_up.add(self.slides[number], told, member.name)
        yield from self._given_up.outcomes()


def _next(inbox: Inbox) -> News | None:
    try:
        return inbox.get(timeout=LOOK_S)
    except Empty:
        return None


def _digest(slide: Path, cards: Sequence[ModelCard]) -> str:
    """A slide's name may say whose it is, and Dask logs keys."""
    asked = [str(slide), *(card.ref.label for card in cards)]
    return hashlib.sha256("\0".join(asked).encode(errors="surrogateescape")).hexdigest()[:16]
