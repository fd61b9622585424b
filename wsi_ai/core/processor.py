"""Which processor this is, as Linux tells it in ``/proc/cpuinfo``: see proc_cpuinfo(5)."""

from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Processor:
    """What is not said is empty, or ``None``."""

    name: str
    instructions: frozenset[str]
    """By Linux's names: a virtual machine may hide some."""
    sockets: int | None
    """Number of those that have one."""


def processor(cpuinfo: Path = CPUINFO) -> Processor:
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    told = [(name.strip(), said.strip()) for name, _, said in (x.partition(":") for x in lines)]
    facts = dict(told)
    flags = facts.get("flags", facts.get("Features", ""))
    sockets = {said for name, said in told if name == "physical id"}
    return Processor(facts.get("model name", ""), frozenset(flags.split()), len(sockets) or None)
