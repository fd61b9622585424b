"""What became of a run's flags, for people: how many were delivered, and of each other why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.app import Outcome
from wsi_ai.core.printable import printable
from wsi_ai.core.wording import counted, verb
from wsi_ai.delivery.outbox import revisions
from wsi_ai.delivery.outbox.listing import Step
from wsi_ai.delivery.outbox.states import NO_SINK, State

_MOST_LINES = 20
_REMEDY = (
    (("401", "403"), "the receiver does not know this key or token: compare both ends"),
    (("404", "405", "410"), "is the address right?"),
    (("400", "413", "415", "422"), "the receiver refuses this very flag: ask its operator why"),
)
_NOWHERE = {
    revisions.NO_IDENTITY: "whose slide it is is not known; say so with --cases",
    revisions.NO_ROUTE: "no sink takes the flags of this trust; add one, and it is sent",
}


@dataclass(frozen=True, slots=True)
class Delivered:
    """Of the flags of one run."""

    whole: int
    """Number of flags that every receiver has."""
    lines: tuple[str, ...]
    """One for each other flag and sink: the slide's file, and why."""

    @property
    def is_whole(self) -> bool:
        return not self.lines

    def report(self) -> list[str]:
        """What a person reads at the end of a run."""
        if self.is_whole and not self.whole:
            return []
        left = len(self.lines)
        rest = f"; {left} not yet, or not at all:" if left else ""
        shown = [f"  {line}" for line in self.lines[:_MOST_LINES]]
        if left > _MOST_LINES:
            shown.append(f"  and {left - _MOST_LINES} more; see: wsi-ai flags list")
        are = verb(self.whole, "is", "are")
        return [f"{counted(self.whole, 'flag')} {are} delivered{rest}", *shown]


def delivered(outcomes: Sequence[Outcome], steps: Mapping[str, Sequence[Step]]) -> Delivered:
    """``steps`` are those of the outcomes' flags; a flag of which nothing is known was not put."""
    whole, lines = 0, list[str]()
    for outcome in outcomes:
        found = steps.get(outcome.flag_id, ())
        left = [line for step in found if (line := _line(outcome.slide, step))]
        whole += bool(found) and not left
        lines += left
    return Delivered(whole, tuple(lines))


def _line(slide: Path, step: Step) -> str:
    """Empty where the receiver has it, or a person gave it up."""
    name = printable(slide.name)
    if step.state in (State.DELIVERED, State.SKIPPED) and step.sink != NO_SINK:
        return ""
    if step.sink == NO_SINK:
        why = step.why or ""
        return f"{name}: not sent: {_NOWHERE.get(why, why)}"
    remedy = _remedy(step.why or "")
    if step.is_open:
        return f"{name}: {step}; {remedy or 'wsi-ai relay sends it'}"
    return f"{name}: {step}; {remedy or 'see: wsi-ai outbox list'}"


def _remedy(why: str) -> str:
    return next((words for codes, words in _REMEDY if why.endswith(codes)), "")
