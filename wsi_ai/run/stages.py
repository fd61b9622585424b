"""An assembly line: while one item is in a stage, its neighbours are in the stages beside it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


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
    stages, and one less that are not yet in the last: only the next item is made ready.  After the
    first stage, an item that is ``over`` does not count, for it holds nothing; one that ``passes``
    the stage before the last has nothing to do there, so that one more is made ready beside it.
    Where the caller gives up, ``stop`` is called and items on their way are waited for.  An error
    that a stage raises reaches the caller in its item's place.
    """
    with ExitStack() as open_pools:
        pools = [open_pools.enter_context(ThreadPoolExecutor(1)) for _ in stages]
        under_way: deque[_UnderWay[T]] = deque()
        through = False
        try:
            for item in items:
                under_way.append(_send(item, stages, pools))
                while _is_full(under_way, len(stages), over, passes):
                    _wait_for_one(under_way)
                while under_way and not under_way[0].held:
                    yield under_way.popleft().futures[-1].result()
            while under_way:
                yield under_way.popleft().futures[-1].result()
            through = True
        finally:
            if not through:
                stop()


@dataclass(frozen=True, slots=True, eq=False)
class _UnderWay(Generic[T]):
    """An item, and what each stage makes of it."""

    item: T
    futures: Sequence[Future[T]]

    @property
    def held(self) -> bool:
        """It is not through the last stage."""
        return not self.futures[-1].done()

    @property
    def ready(self) -> bool:
        """It is not through the stage before the last, or the only one."""
        return not self.futures[max(0, len(self.futures) - 2)].done()

    def known_to(self, question: Callable[[T], bool]) -> bool:
        """What can be asked of the item after the first stage."""
        first = self.futures[0]
        return first.done() and first.exception() is None and question(first.result())


def _is_full(
    items: Iterable[_UnderWay[T]],
    stages: int,
    over: Callable[[T], bool],
    passes: Callable[[T], bool],
) -> bool:
    """Whether the next item would find no room."""
    held = [item for item in items if item.held and not item.known_to(over)]
    ready = [item for item in held if item.ready]
    to_work = [item for item in ready if not item.known_to(passes)]
    room = stages if len(to_work) == len(ready) else stages + 1
    return len(held) >= room or len(to_work) >= max(1, stages - 1)


def _wait_for_one(items: Iterable[_UnderWay[T]]) -> None:
    """Until any of them has come a stage further."""
    futures = [future for item in items for future in item.futures if not future.done()]
    wait(futures, return_when=FIRST_COMPLETED)


def _send(
    item: T, stages: Sequence[Callable[[T], T]], pools: Sequence[ThreadPoolExecutor]
) -> _UnderWay[T]:
    """Queue the item at every stage; each waits for what the one before made of it."""
    (stage, pool), *rest = zip(stages, pools, strict=True)
    futures = [pool.submit(stage, item)]
    for stage, pool in rest:
        futures.append(pool.submit(_after, futures[-1], stage))
    return _UnderWay(item, futures)


def _after(before: Future[T], stage: Callable[[T], T]) -> T:
    return stage(before.result())
