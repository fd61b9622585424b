"""An assembly line: while one item is in a stage, its neighbours are in the stages beside it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TypeVar

T = TypeVar("T")
_THROUGH = object()
_Way = list[Future[T]]
"""Of one item, what each stage makes of it."""


def never(item: object) -> bool:
    """Every item has work to do in every stage."""
    return False


def through_stages(
    items: Iterable[T],
    stages: Sequence[Callable[[T], T]],
    stop: Callable[[], None],
    over: Callable[[T], bool] = never,
    passes: Callable[[T], bool] = never,
) -> Iterator[T]:
    """Send each item through all stages and give it back, in order, as soon as it is through.

    A stage has one thread and one item at a time.  No more items are under way than there are
    stages, and one less that are not yet in the last: only the next item is made ready.  What is
    said of an item after the first stage: one that is ``over`` does not count, for it holds
    nothing; one that ``passes`` the stage before the last has nothing to do there, so that one more
    is made ready beside it.  Where the caller gives up, ``stop`` is called and items on their way
    are waited for.  An error that a stage raises reaches the caller in its item's place.
    """
    with ExitStack() as open_pools:
        pools = [open_pools.enter_context(ThreadPoolExecutor(1)) for _ in stages]
        under_way: deque[_Way[T]] = deque()
        through = False
        try:
            for item in items:
                under_way.append(_send(item, stages, pools))
                while _is_full(under_way, len(stages), over, passes):
                    _wait_for_one(under_way)
                while under_way and under_way[0][-1].done():
                    yield under_way.popleft()[-1].result()
            while under_way:
                yield under_way.popleft()[-1].result()
            through = True
        finally:
            if not through:
                stop()


def _is_full(
    items: Iterable[_Way[T]], stages: int, over: Callable[[T], bool], passes: Callable[[T], bool]
) -> bool:
    """Whether the next item would find no room."""
    held = [item for item in items if not item[-1].done() and not _is(item, over)]
    before_last = [item for item in held if not item[-2:][0].done()]
    ready = [item for item in before_last if not _is(item, passes)]
    room = stages if len(ready) == len(before_last) else stages + 1
    return len(held) >= room or len(ready) >= max(1, stages - 1)


def _is(item: _Way[T], said: Callable[[T], bool]) -> bool:
    """What can be said of it after the first stage."""
    first = item[0]
    return first.done() and first.exception() is None and said(first.result())


def _wait_for_one(items: Iterable[_Way[T]]) -> None:
    """Until any of them has come a stage further."""
    futures = [future for item in items for future in item if not future.done()]
    wait(futures, return_when=FIRST_COMPLETED)


def _send(
    item: T, stages: Sequence[Callable[[T], T]], pools: Sequence[ThreadPoolExecutor]
) -> _Way[T]:
    """Queue the item at every stage; each waits for what the one before made of it."""
    (stage, pool), *rest = zip(stages, pools, strict=True)
    way = [pool.submit(stage, item)]
    for stage, pool in rest:
        way.append(pool.submit(_after, way[-1], stage))
    return way


def _after(before: Future[T], stage: Callable[[T], T]) -> T:
    return stage(before.result())


def in_turns(
    steps: Iterator[None],
    attempt: Callable[[Callable[[T], None]], object],
    over: Callable[[], bool],
) -> Iterator[None]:
    """One step a turn, each by ``attempt``, until there are no more or all is ``over``."""
    going = True

    def go_on(_: T) -> None:
        nonlocal going
        going = next(steps, _THROUGH) is not _THROUGH

    while going and not over():
        attempt(go_on)
        yield
