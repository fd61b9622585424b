"""The same queue without SimPy, on a heap: a second implementation to compare with."""

import heapq

import numpy as np

from wsi_ai.trial.waiting.cases import Cases, Seconds
from wsi_ai.trial.waiting.reading import Staff
from wsi_ai.trial.waiting.worklist import Order


def ranks(cases: Cases, order: Order) -> list[int]:
    flagged = cases.flagged & (order.flags_after_s is not None)
    return list(np.where(cases.urgent, 0, np.where(flagged, 1, 2)).tolist())


def finishing(cases: Cases, staff: Staff, order: Order) -> Seconds:
    at, length = cases.arrival_s.tolist(), cases.reading_s.tolist()
    rank, delay = ranks(cases, order), order.flags_after_s or 0
    coming = [(at[i], i, 2 if r == 1 and delay else r) for i, r in enumerate(rank)]
    coming += [(at[i] + delay, i, 1) for i, r in enumerate(rank) if r == 1 and delay]
    coming.sort()
    lists: list[list[tuple[int, int]]] = [[], [], []]
    begun, waited, free = set(), [0] * len(at), [0] * staff.readers
    k = 0
    while len(begun) < len(at):
        now = free[0]
        opens = staff.hours.next_open(now)
        if opens > now:
            heapq.heapreplace(free, opens)
            continue
        while k < len(coming) and coming[k][0] <= now:
            heapq.heappush(lists[coming[k][2]], (at[coming[k][1]], coming[k][1]))
            k += 1
        for queue in lists:
            while queue and queue[0][1] in begun:
                heapq.heappop(queue)
        heads = [(queue[0][0], r) for r, queue in enumerate(lists) if queue]
        if not heads:
            heapq.heapreplace(free, coming[k][0])
            continue
        late = [h for h in heads if order.promise_s is not None and now - h[0] >= order.promise_s]
        best = min(late)[1] if late and not lists[0] else min(r for _, r in heads)
        _, case = heapq.heappop(lists[best])
        begun.add(case)
        waited[case] = now - at[case]
        heapq.heapreplace(free, now + length[case])
    return np.array(waited, np.int64)


def interrupting(cases: Cases, readers: int, order: Order) -> Seconds:
    """Always open, flags at once."""
    at, rank = cases.arrival_s.tolist(), ranks(cases, order)
    left, done = cases.reading_s.tolist(), [0] * len(at)
    waiting: list[tuple[int, int]] = []
    busy: dict[int, int] = {}
    ends: list[tuple[int, int, int]] = []
    k = 0
    while k < len(at) or busy:
        while ends and busy.get(ends[0][1]) != ends[0][2]:
            heapq.heappop(ends)
        if k < len(at) and (not ends or at[k] < ends[0][0]):
            now = at[k]
            heapq.heappush(waiting, (rank[k], k))
            k += 1
            if len(busy) == readers:
                worst = max(busy, key=lambda case: (rank[case], case))
                if rank[worst] > waiting[0][0]:
                    left[worst] -= now - busy.pop(worst)
                    heapq.heappush(waiting, (rank[worst], worst))
        else:
            now, case, _ = heapq.heappop(ends)
            del busy[case]
            done[case] = now
        while waiting and len(busy) < readers:
            _, case = heapq.heappop(waiting)
            busy[case] = now
            heapq.heappush(ends, (now + left[case], case, now))
    return np.array(done, np.int64) - cases.arrival_s - cases.reading_s
