"""What a container may use of a machine: its control group's limits, and those of the groups around
it (Linux, both versions of cgroups)."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_NO_LIMIT = 1 << 60
"""Bytes: version 1 writes a number near 2**63 where there is none."""


def text_of(path: Path) -> str:
    """Empty where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def processors_allowed(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """That may be busy at once; ``None`` where there is no limit.  It says nothing of how many
    are seen: libraries that count those start too many threads."""
    found = list[float]()
    for folder in _folders(root, membership, "cpu"):
        quota, _, period = text_of(folder / "cpu.max").partition(" ")
        quota = quota or text_of(folder / "cpu.cfs_quota_us")
        period = period or text_of(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            found.append(int(quota) / int(period))
    return round(min(found), 2) if found else None


def memory_allowed(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes; ``None`` where there is no limit."""
    found = list[int]()
    for folder in _folders(root, membership, "memory"):
        text = text_of(folder / "memory.max") or text_of(folder / "memory.limit_in_bytes")
        if text.isdecimal() and int(text) < _NO_LIMIT:
            found.append(int(text))
    return min(found, default=None)


def _folders(root: Path, membership: Path, controller: str) -> Iterator[Path]:
    """The process's own group and those around it.  Inside a container the path may be the host's,
    which is not seen from there: the root stands for it."""
    for line in text_of(membership).splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        base = root / controller if names else root
        own = PurePosixPath(path)
        for part in (own, *own.parents):
            yield base / part.relative_to("/")
