"""An assembly line: while one item is in a stage, its neighbours are in the stages beside it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


def never_over(item: object) -> bool:
    """Every item has work to do in every stage."""
    return False


def through_stages(
    items: Iterable[T],
    stages: Sequence[Callable[[T], T]],
    stop: Callable[[], None],
    over: Callable[[T], bool] = never_over,
) -> Iterator[T]:
    """Send each item through all stages and give it back, in order, as soon as it is through.

    A stage has one thread and one item at a time; no more items are under way than there are
    stages, but for those that are ``over`` after the first stage: they hold nothing, and nobody
    waits for them.  Where the caller gives up, ``stop`` is called and items on their way are waited
    for.  An error that a stage raises reaches the caller in its item's place.
    """
    with ExitStack() as open_pools:
        pools = [open_pools.enter_context(ThreadPoolExecutor(1)) for _ in stages]
        under_way: deque[_Item[T]] = deque()
        through = False
        try:
            for item in items:
                under_way.append(_send(item, stages, pools))
                while _at_work(under_way, over) >= len(stages):
                    _wait_for_one(under_way)
                while under_way and under_way[0].last.done():
                    yield under_way.popleft().last.result()
            while under_way:
                yield under_way.popleft().last.result()
            through = True
        finally:
            if not through:
                stop()


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    first: Future[T]
    """The item after the first stage."""
    last: Future[T]

    def at_work(self, over: Callable[[T], bool]) -> bool:
        """Whether it holds, or will hold, what a stage needs."""
        looked = self.first.done() and self.first.exception() is None
        return not self.last.done() and not (looked and over(self.first.result()))


def _at_work(items: Iterable[_Item[T]], over: Callable[[T], bool]) -> int:
    return sum(item.at_work(over) for item in items)


def _wait_for_one(items: Iterable[_Item[T]]) -> None:
    """Until any of them has come a stage further."""
    futures = [future for item in items for future in (item.first, item.last)]
    wait([future for future in futures if not future.done()], return_when=FIRST_COMPLETED)


def _send(
    item: T, stages: Sequence[Callable[[T], T]], pools: Sequence[ThreadPoolExecutor]
) -> _Item[T]:
    """Queue the item at every stage; each waits for what the one before made of it."""
    (stage, pool), *rest = zip(stages, pools, strict=True)
    first = last = pool.submit(stage, item)
    for stage, pool in rest:
        last = pool.submit(_after, last, stage)
    return _Item(first, last)


def _after(before: Future[T], stage: Callable[[T], T]) -> T:
    return stage(before.result())
