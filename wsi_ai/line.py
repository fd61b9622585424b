"""An assembly line: while one item is in a stage, its neighbours are in the stages beside it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

T = TypeVar("T")


def through_stages(
    items: Iterable[T], stages: Sequence[Callable[[T], T]], stop: Callable[[], None]
) -> Iterator[T]:
    """Send each item through all stages and give it back, in order, as soon as it is through.

    A stage has one thread and one item at a time; no more items are under way than there are
    stages.  Where the caller gives up, ``stop`` is called and items on their way are waited for.
    An error that a stage raises reaches the caller in its item's place.
    """
    with ExitStack() as open_pools:
        pools = [open_pools.enter_context(ThreadPoolExecutor(1)) for _ in stages]
        under_way: deque[Future[T]] = deque()
        through = False
        try:
            for item in items:
                under_way.append(_send(item, stages, pools))
                if len(under_way) == len(stages):
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
            through = True
        finally:
            if not through:
                stop()


def _send(
    item: T, stages: Sequence[Callable[[T], T]], pools: Sequence[ThreadPoolExecutor]
) -> Future[T]:
    """Queue the item at every stage; each waits for what the one before made of it."""
    first, *rest = zip(stages, pools, strict=True)
    future = first[1].submit(first[0], item)
    for stage, pool in rest:
        future = pool.submit(_after, future, stage)
    return future


def _after(before: Future[T], stage: Callable[[T], T]) -> T:
    return stage(before.result())
