"""The list that cases wait in, and which one is next.

First what is urgent by other means, then what is flagged, then the rest; within each, by arrival.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from wsi_ai.trial.waiting.cases import Cases

URGENT, FLAGGED, STANDARD = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Order:
    """How the list is sorted."""

    flags_after_s: int | None
    """A flag comes this long after its case; ``None``: without flags."""
    promise_s: int | None = None
    """A case that has waited this long goes before all flags: the promise to those not flagged."""

    def __post_init__(self) -> None:
        if min(self.flags_after_s or 0, self.promise_s or 0) < 0:
            raise ValueError("a time to wait is 0 or more")


WITHOUT_FLAGS = Order(flags_after_s=None)


@dataclass(frozen=True, slots=True, order=True)
class Coming:
    """A case comes to the list, or moves up in it."""

    at_s: int
    case: int
    rank: int


def comings(cases: Cases, order: Order) -> list[Coming]:
    found = []
    rows = zip(cases.arrival_s.tolist(), cases.urgent.tolist(), cases.flagged.tolist(), strict=True)
    for case, (at_s, urgent, flagged) in enumerate(rows):
        moves = flagged and not urgent and order.flags_after_s is not None
        if urgent or not (moves and order.flags_after_s == 0):
            found.append(Coming(at_s, case, URGENT if urgent else STANDARD))
        if moves and order.flags_after_s is not None:
            found.append(Coming(at_s + order.flags_after_s, case, FLAGGED))
    return sorted(found)


class Worklist:
    """Holds who waits; knows the time only as it is given."""

    def __init__(self, expected: Sequence[Coming], arrival_s: Sequence[int], order: Order) -> None:
        self._expected = expected
        self._arrival_s = arrival_s
        self._promise_s = order.promise_s
        self._admitted = 0
        self._rank = [STANDARD] * len(arrival_s)
        self._away = bytearray(len(arrival_s))
        self._heaps: tuple[list[tuple[int, int]], ...] = ([], [], [])

    def next_coming_s(self) -> int | None:
        """After what was admitted."""
        if self._admitted == len(self._expected):
            return None
        return self._expected[self._admitted].at_s

    def take(self, now_s: int) -> int | None:
        """The next case to be read, or none that waits."""
        rank = self._next_rank(now_s)
        if rank is None:
            return None
        _, case = heapq.heappop(self._heaps[rank])
        self._away[case] = True
        return case

    def put_back(self, case: int) -> None:
        """It was interrupted, and keeps its place."""
        self._away[case] = False
        heapq.heappush(self._heaps[self._rank[case]], (self._arrival_s[case], case))

    def place(self, case: int) -> tuple[int, int, int]:
        """Lower goes first."""
        return self._rank[case], self._arrival_s[case], case

    def best_rank(self, now_s: int) -> int | None:
        """Of those that wait."""
        self._admit(now_s)
        return next((rank for rank in range(3) if self._head(rank) is not None), None)

    def _admit(self, now_s: int) -> None:
        while self._admitted < len(self._expected):
            coming = self._expected[self._admitted]
            if coming.at_s > now_s:
                return
            self._admitted += 1
            self._rank[coming.case] = coming.rank
            if not self._away[coming.case]:
                place = (self._arrival_s[coming.case], coming.case)
                heapq.heappush(self._heaps[coming.rank], place)

    def _next_rank(self, now_s: int) -> int | None:
        best = self.best_rank(now_s)
        if self._promise_s is None or best in (None, URGENT):
            return best
        heads = [(head[0], rank) for rank in range(3) if (head := self._head(rank)) is not None]
        oldest_s, rank = min(heads)
        return rank if now_s - oldest_s >= self._promise_s else best

    def _head(self, rank: int) -> tuple[int, int] | None:
        """What was taken is dropped; what moved up stands here too, and is the same case."""
        heap = self._heaps[rank]
        while heap and self._away[heap[0][1]]:
            heapq.heappop(heap)
        return heap[0] if heap else None
