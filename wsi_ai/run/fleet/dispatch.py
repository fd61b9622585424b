"""Who gets which slide next.  Knows no process and no clock."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_TRIES = 2


@dataclass(slots=True)
class _Again:
    """A slide whose worker ended before it was done."""

    number: int
    failed_in: int
    """The slot of that worker."""
    taken_by: int | None = None


@dataclass(slots=True)
class Dispatch:
    """Slides are numbers, workers the slots that they sit in.

    A slide that was with a worker when it ended goes to another one, once.  Then it runs alone, so
    that a slide that ends its workers is not mistaken for its neighbours.
    """

    waiting: deque[int]
    slots: set[int]
    """Those that have a worker."""
    _again: list[_Again] = field(default_factory=list)
    _held: dict[int, set[int]] = field(default_factory=dict)
    _tries: dict[int, int] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return not (self.waiting or self._again or any(self._held.values()))

    def next_for(self, slot: int) -> int | None:
        """A slide for this worker; ``None`` where there is none for it now."""
        held = self._held.setdefault(slot, set())
        if any(self._tries[number] > 1 for number in held):
            return None
        mine = self._reserved(slot)
        if mine is not None and held:
            return None
        if mine is not None:
            self._again.remove(mine)
            return self._give(slot, mine.number)
        return self._give(slot, self.waiting.popleft()) if self.waiting else None

    def done(self, slot: int, number: int) -> None:
        self._held[slot].discard(number)

    def ended(self, slot: int) -> tuple[bool, Sequence[int]]:
        """The slot's worker ended.  Returns whether it held slides, and those of them that have had
        their tries: they are given up."""
        self.slots.discard(slot)
        held = sorted(self._held.pop(slot, set()))
        self._again += [_Again(n, slot) for n in held if self._tries[n] < _TRIES]
        for again in self._again:
            again.taken_by = None if again.taken_by == slot else again.taken_by
        return bool(held), [n for n in held if self._tries[n] >= _TRIES]

    def left(self, slot: int) -> None:
        """The slot's worker went away in order: none of its slides is suspected, and any other
        takes them."""
        for number in sorted(self._held.get(slot, set()), reverse=True):
            self.back(slot, number)
        self.ended(slot)

    def back(self, slot: int, number: int) -> None:
        """The slot's worker did not do this slide, for no fault of either."""
        self._held[slot].discard(number)
        self._tries[number] -= 1
        self.waiting.appendleft(number)

    def is_last_try(self, number: int) -> bool:
        return self._tries.get(number, 0) >= _TRIES

    def held_by(self, slot: int) -> int:
        """Number of slides at hand there."""
        return len(self._held.get(slot, ()))

    def rest(self) -> list[int]:
        """All that has no worker any more; it is taken out."""
        left = sorted([*self.waiting, *(again.number for again in self._again)])
        self.waiting.clear()
        self._again.clear()
        return left

    def _reserved(self, slot: int) -> _Again | None:
        """Of the slides to be tried again, the one that this worker has taken, or now takes."""
        for again in self._again:
            if again.taken_by == slot:
                return again
        for again in self._again:
            elsewhere = self.slots - {again.failed_in}
            if again.taken_by is None and (slot != again.failed_in or not elsewhere):
                again.taken_by = slot
                return again
        return None

    def _give(self, slot: int, number: int) -> int:
        self._held[slot].add(number)
        self._tries[number] = self._tries.get(number, 0) + 1
        return number
