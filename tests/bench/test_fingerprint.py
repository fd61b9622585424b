"""Which machine it was: limits of a container, and what stands in files of Linux."""

import socket
from pathlib import Path

from wsi_ai.bench.container import memory_allowed, processors_allowed
from wsi_ai.bench.fingerprint import machine, programs


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_quota_of_version_2_is_found_in_the_group_or_around_it(tmp_path: Path) -> None:
    root = written(
        tmp_path / "cgroup",
        {"cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"},
    )
    group = written(tmp_path, {"membership": "0::/a/b\n"}) / "membership"
    assert processors_allowed(root, group) == 1.5
    assert memory_allowed(root, group) is None


def test_the_tightest_limit_counts(tmp_path: Path) -> None:
    files = {"a/memory.max": "8589934592", "a/b/memory.max": "17179869184"}
    root = written(tmp_path / "cgroup", files)
    group = written(tmp_path, {"membership": "0::/a/b"}) / "membership"
    assert memory_allowed(root, group) == 8 << 30


def test_limits_of_version_1_are_found(tmp_path: Path) -> None:
    root = written(
        tmp_path / "cgroup",
        {
            "cpu/job/cpu.cfs_quota_us": "400000",
            "cpu/job/cpu.cfs_period_us": "100000",
            "memory/job/memory.limit_in_bytes": "4294967296",
            "memory/memory.limit_in_bytes": "9223372036854771712",
        },
    )
    lines = "5:cpu,cpuacct:/job\n4:memory:/job\n1:name=systemd:/elsewhere\n"
    group = written(tmp_path, {"membership": lines}) / "membership"
    assert processors_allowed(root, group) == 4.0
    assert memory_allowed(root, group) == 4 << 30


def test_inside_a_container_the_root_stands_for_a_path_that_is_not_seen(tmp_path: Path) -> None:
    root = written(tmp_path / "cgroup", {"cpu.max": "50000 100000", "memory.max": "max"})
    group = written(tmp_path, {"membership": "0::/docker/0123456789ab"}) / "membership"
    assert processors_allowed(root, group) == 0.5
    assert memory_allowed(root, group) is None


def test_no_limit_and_no_files_are_no_figure(tmp_path: Path) -> None:
    group = written(tmp_path, {"membership": "0::/\n4:cpu:/\n"}) / "membership"
    assert processors_allowed(tmp_path, group) is None
    assert processors_allowed(tmp_path, tmp_path / "nowhere") is None


CPUINFO = """processor\t: 0
physical id\t: 0
model name\t: A Processor
flags\t\t: fpu sse4_2 avx2 avx512f avx512_vnni hypervisor

processor\t: 1
physical id\t: 1
model name\t: A Processor
"""


def test_governor_turbo_sockets_and_gpus_are_read_where_they_stand(tmp_path: Path) -> None:
    system = written(
        tmp_path / "cpu",
        {
            "cpu0/cpufreq/scaling_governor": "powersave\n",
            "cpu0/cpufreq/cpuinfo_max_freq": "3400000\n",
            "cpu0/topology/thread_siblings_list": "0,2\n",
            "cpu0/cache/index0/size": "48K\n",
            "cpu0/cache/index3/size": "32768K\n",
            "intel_pstate/no_turbo": "1\n",
        },
    )
    process = written(
        tmp_path / "proc",
        {
            "cpuinfo": CPUINFO,
            "driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64  580.65.06  Sun Jul\n",
            "driver/nvidia/gpus/0000:01:00.0/information": (
                "Model: \t\t NVIDIA H200\nIRQ: 7\nGPU UUID: \t GPU-1234-secret\n"
            ),
        },
    )
    found = machine(system, process)
    wanted = {
        "processor": "A Processor",
        "instructions": "sse4_2 avx2 avx512f avx512_vnni",
        "sockets": 2,
        "threads_a_core": 2,
        "largest_cache": "32768 KiB",
        "virtual": "yes",
        "governor": "powersave",
        "turbo": "off",
        "clock_mhz": 3400,
        "gpus": "NVIDIA H200",
        "gpu_driver": "580.65.06",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert "secret" not in str(found)


def test_what_a_system_does_not_say_is_left_out(tmp_path: Path) -> None:
    found = machine(tmp_path / "no", tmp_path / "no")
    assert not {"governor", "turbo", "gpus", "sockets", "virtual"} & set(found)
    assert found["processors"]


def test_what_multiplies_matrices_is_named_and_no_host() -> None:
    found = {**machine(), **programs()}
    assert found["blas"]
    assert socket.gethostname() not in map(str, found.values())
    assert not any("/" in str(value) for value in found.values())
