"""Which hardware and software measured: no name of a machine, no path, no account."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wsi_ai.core.environment import threads
from wsi_ai.core.software import pixel_libraries, scoring_code, software, versions

Facts = dict[str, str | int | float]
_FLAGS = "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimd", "i8mm"
_MORE = "onnx", "openvino", "torchvision", "cupy-cuda13x", "nvidia-nvimgcodec-cu13"


def machine() -> Facts:
    """Raises nothing: what this system does not say is left out."""
    names, flags = _processor()
    quota = _quota(_text("/sys/fs/cgroup/cpu.max"))
    return {
        "processor": names or platform.machine(),
        "instructions": " ".join(flag for flag in _FLAGS if flag in flags),
        "processors": threads(),
        "system": platform.system(),
        "memory_gib": _memory_gib(),
        **({} if quota is None else {"processors_allowed": quota}),
    }


def programs() -> Facts:
    more = {name: _version(name) for name in _MORE}
    there = {name: found for name, found in more.items() if found}
    own = {"wsi_ai": software().removeprefix("wsi_ai "), "scoring_code": scoring_code()[:12]}
    return {**versions(), **pixel_libraries(), **there, **own}


def _processor() -> tuple[str, frozenset[str]]:
    lines = (line.partition(":") for line in _text("/proc/cpuinfo").splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    flags = facts.get("flags", facts.get("Features", ""))
    return facts.get("model name", ""), frozenset(flags.split())


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _quota(text: str) -> float | None:
    """Processors that a container may use at once, where it is limited."""
    allowed, _, period = text.strip().partition(" ")
    if not (allowed.isdecimal() and period.isdecimal() and int(period)):
        return None
    return round(int(allowed) / int(period), 2)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
