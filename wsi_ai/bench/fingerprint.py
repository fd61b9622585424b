"""Which hardware and software measured: no name of a machine, no path, no account."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from wsi_ai.bench.container import memory_allowed, processors_allowed, text_of
from wsi_ai.core.environment import from_environment, threads
from wsi_ai.core.processor import processor
from wsi_ai.core.software import pixel_libraries, scoring_code, software, versions

Facts = dict[str, str | int | float]
_FLAGS = (
    "sse4_2", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
"""Instructions that make networks or codecs faster, by Linux's names."""
_MORE = "onnx", "openvino", "torchvision", "timm", "cupy-cuda13x", "nvidia-nvimgcodec-cu13"
_THREADS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"
"""Variables that change how fast libraries are."""
_SYS, _PROC = Path("/sys/devices/system/cpu"), Path("/proc")


def machine(system: Path = _SYS, process: Path = _PROC) -> Facts:
    """Raises nothing: what this system does not say is left out."""
    own = processor(process / "cpuinfo")
    found: dict[str, str | int | float | None] = {
        "processor": own.name or platform.machine(),
        "instructions": " ".join(flag for flag in _FLAGS if flag in own.instructions),
        "processors": threads(),
        "processors_there": os.cpu_count(),
        "processors_allowed": processors_allowed(),
        "sockets": own.sockets,
        "threads_a_core": _threads_a_core(system),
        "largest_cache": _largest_cache(system),
        "virtual": "yes" if "hypervisor" in own.instructions else None,
        "governor": text_of(system / "cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo(system),
        "clock_mhz": _most_mhz(system),
        "system": platform.system(),
        "kernel": ".".join(re.findall(r"\d+", platform.release())[:2]),
        "memory_gib": _gib(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "memory_allowed_gib": _gib(memory_allowed()),
        "gpus": _gpus(process),
        "gpu_driver": _gpu_driver(process),
        **{name.lower(): from_environment(name) for name in _THREADS},
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}


def programs() -> Facts:
    more = {name: _version(name) for name in _MORE}
    there = {name: found for name, found in more.items() if found}
    own = {"wsi_ai": software().removeprefix("wsi_ai "), "scoring_code": scoring_code()[:12]}
    return {**versions(), **pixel_libraries(), **there, **own, **_libraries()}


def _libraries() -> Facts:
    """What NumPy multiplies with, and the system's C library."""
    shown: Any = np.show_config("dicts")
    blas = shown.get("Build Dependencies", {}).get("blas", {})
    words = str(blas.get("openblas configuration", "")).split()
    family = words[-2] if len(words) > 2 else ""
    name, number = platform.libc_ver()
    return {
        "blas": " ".join(filter(None, (blas.get("name"), blas.get("version"), family))),
        "libc": f"{name} {number}".strip(),
    }


def _threads_a_core(system: Path) -> int | None:
    siblings = text_of(system / "cpu0/topology/thread_siblings_list")
    ends = [part.split("-") for part in siblings.split(",") if part]
    return sum(int(each[-1]) - int(each[0]) + 1 for each in ends) or None


def _largest_cache(system: Path) -> str:
    """That of one processor, shared with others or not: in KiB."""
    sizes = [text_of(path) for path in (system / "cpu0/cache").glob("index*/size")]
    known = [int(size[:-1]) for size in sizes if size[:-1].isdecimal() and size.endswith("K")]
    return f"{max(known)} KiB" if known else ""


def _turbo(system: Path) -> str:
    """Whether the clock may rise above its base."""
    if off := text_of(system / "intel_pstate/no_turbo"):
        return "off" if off == "1" else "on"
    boost = text_of(system / "cpufreq/boost")
    return {"0": "off", "1": "on"}.get(boost, "")


def _most_mhz(system: Path) -> int | None:
    text = text_of(system / "cpu0/cpufreq/cpuinfo_max_freq")
    return round(int(text) / 1000) if text.isdecimal() else None


def _gpus(process: Path) -> str:
    """Models alone: serial numbers stand beside them."""
    files = sorted((process / "driver/nvidia/gpus").glob("*/information"))
    found = [re.search(r"^Model:\s*(.+)$", text_of(path), re.MULTILINE) for path in files]
    return ", ".join(match[1].strip() for match in found if match)


def _gpu_driver(process: Path) -> str:
    found = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", text_of(process / "driver/nvidia/version"))
    return found[1] if found else ""


def _gib(byte_count: int | None) -> float | None:
    if byte_count is None:
        return None
    return round(byte_count / 2**30, 1) if byte_count < 2**33 else round(byte_count / 2**30)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
