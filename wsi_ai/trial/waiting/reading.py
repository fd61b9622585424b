"""Readers take cases from the list: a simulation of discrete events, on SimPy.

Waiting is the time in the list, not in a reader's hands.
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import simpy

from wsi_ai.trial.waiting.cases import Cases, Seconds
from wsi_ai.trial.waiting.week import ALWAYS, Hours
from wsi_ai.trial.waiting.worklist import Coming, Order, Worklist, comings

Steps = Generator[simpy.Event, None, None]


@dataclass(frozen=True, slots=True)
class Staff:
    """Readers, all alike."""

    readers: int
    hours: Hours = ALWAYS

    def __post_init__(self) -> None:
        if self.readers < 1:
            raise ValueError(f"there is 1 reader or more, got {self.readers}")


def waits_s(cases: Cases, staff: Staff, order: Order) -> Seconds:
    """Of each case, where a reader finishes what is in hand, as pathologists do."""
    desk, env = _desk(cases, staff, order)
    env.run()
    return np.array(desk.first_begun_s, np.int64) - cases.arrival_s


def waits_if_interrupted_s(cases: Cases, staff: Staff, order: Order) -> Seconds:
    """Of each case, where one of a better rank interrupts the reader of the worst in hand, who
    resumes it later: emergencies in radiology."""
    desk, env = _desk(cases, staff, order)
    env.process(_interrupting(env, desk, staff.hours))
    env.run()
    return np.array(desk.done_s, np.int64) - cases.arrival_s - cases.reading_s


class _Desk:
    """What readers share."""

    def __init__(self, cases: Cases, expected: list[Coming], order: Order) -> None:
        self.expected = expected
        self.worklist = Worklist(expected, cases.arrival_s.tolist(), order)
        self.left_s: list[int] = cases.reading_s.tolist()
        self.first_begun_s = [-1] * len(cases)
        self.done_s = [-1] * len(cases)
        self.in_hand: dict[int, int] = {}
        self.readers: list[simpy.Process] = []

    def begin(self, reader: int, case: int, now_s: int) -> None:
        self.in_hand[reader] = case
        if self.first_begun_s[case] < 0:
            self.first_begun_s[case] = now_s


def _desk(cases: Cases, staff: Staff, order: Order) -> tuple[_Desk, simpy.Environment]:
    desk, env = _Desk(cases, comings(cases, order), order), simpy.Environment()
    for reader in range(staff.readers):
        desk.readers.append(env.process(_reading(env, desk, reader, staff.hours)))
    return desk, env


def _reading(env: simpy.Environment, desk: _Desk, reader: int, hours: Hours) -> Steps:
    """Ends when no case waits and none will come."""
    while True:
        now_s = int(env.now)
        open_s = hours.next_open(now_s)
        case = desk.worklist.take(now_s) if open_s == now_s else None
        wake_s = desk.worklist.next_coming_s() if open_s == now_s else open_s
        if case is not None:
            yield from _read(env, desk, reader, case)
        elif wake_s is not None:
            yield env.timeout(wake_s - now_s)
        else:
            return


def _read(env: simpy.Environment, desk: _Desk, reader: int, case: int) -> Steps:
    began_s = int(env.now)
    desk.begin(reader, case, began_s)
    try:
        yield env.timeout(desk.left_s[case])
        desk.done_s[case] = int(env.now)
    except simpy.Interrupt:
        desk.left_s[case] -= int(env.now) - began_s
        desk.worklist.put_back(case)
    del desk.in_hand[reader]


def _interrupting(env: simpy.Environment, desk: _Desk, hours: Hours) -> Steps:
    """Looks at the list whenever a case comes, after those who finish in the same second."""
    for at_s in sorted({coming.at_s for coming in desk.expected}):
        yield env.timeout(at_s - int(env.now))
        yield env.timeout(0)
        if hours.next_open(at_s) != at_s:
            continue
        while (reader := _to_interrupt(desk, at_s)) is not None:
            desk.readers[reader].interrupt()
            yield env.timeout(0)


def _to_interrupt(desk: _Desk, now_s: int) -> int | None:
    """The reader of the worst case in hand, where a better rank waits."""
    best = desk.worklist.best_rank(now_s)
    if best is None or len(desk.in_hand) < len(desk.readers):
        return None
    reader, case = max(desk.in_hand.items(), key=lambda item: desk.worklist.place(item[1]))
    return reader if best < desk.worklist.place(case)[0] else None
