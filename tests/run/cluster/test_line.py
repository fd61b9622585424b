"""A worker's line, where a stage breaks."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from wsi_ai.run.cluster.worker import Line


class Task:
    def is_over(self) -> bool:
        return False

    def passes(self) -> bool:
        return False


class Works:
    """Whose stage of this name breaks."""

    def __init__(self, broken: str) -> None:
        self.broken, self.seen = broken, list[str]()

    def _stage(self, name: str, task: Any) -> Any:
        self.seen.append(name)
        if name == self.broken:
            raise KeyError(name)
        return task

    def prepare(self, task: Any) -> Any:
        return self._stage("prepare", task)

    def infer(self, task: Any) -> Any:
        return self._stage("infer", task)

    def publish(self, task: Any) -> Any:
        return self._stage("publish", task)


@pytest.mark.parametrize("stage", ["prepare", "infer", "publish"])
def test_an_error_reaches_who_waits_and_the_next_slide_goes_through(stage: str) -> None:
    """It used to be seen when the next slide came, or never."""
    line = Line()
    with ThreadPoolExecutor(2) as pool:
        broken, whole = Works(stage), Works("")
        first = pool.submit(line.through, broken, Task())  # type: ignore[arg-type]
        with pytest.raises(KeyError):
            first.result(20)
        assert broken.seen[-1] == stage
        pool.submit(line.through, whole, Task()).result(20)  # type: ignore[arg-type]
    assert whole.seen == ["prepare", "infer", "publish"]
    line.close()
