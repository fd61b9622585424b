"""How long this process ran, and how long it was ready to and others did: by Linux's scheduler."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TASKS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Of all threads together."""

    ran_ns: int = 0
    waited_ns: int = 0

    @classmethod
    def now(cls, tasks: Path = _TASKS) -> Self:
        """Nothing where the system does not say: see ``schedstat`` in proc(5)."""
        ran = waited = 0
        with suppress(OSError):
            for task in tasks.iterdir():
                with suppress(OSError, ValueError):  # a thread may have ended meanwhile
                    first, second = (task / "schedstat").read_text("ascii").split()[:2]
                    ran, waited = ran + int(first), waited + int(second)
        return cls(ran, waited)

    def share_since(self, before: Self) -> float:
        """Of the time since then in which it could run, the part in which it did; 1 where that is
        not known."""
        ran, waited = self.ran_ns - before.ran_ns, self.waited_ns - before.waited_ns
        return ran / (ran + waited) if ran > 0 and waited > 0 else 1.0
