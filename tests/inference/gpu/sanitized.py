"""Random plans with the kernel built under the sanitizers of addresses and undefined behaviour,
in a process of its own: both must be loaded before everything else."""

import os
import subprocess
import sys
from pathlib import Path

_FLAGS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_ROOT = Path(__file__).resolve().parents[3]
_NAME = "tests.inference.gpu.sanitized"


def report(cases: int) -> str:
    """What they found; nothing where all is well."""
    places = [
        subprocess.run(
            ["g++", f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("asan", "ubsan")
    ]
    given = {"LD_PRELOAD": ":".join(places), "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        [sys.executable, "-m", _NAME, str(cases)],
        capture_output=True, text=True, cwd=_ROOT, env=os.environ | given, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr


if __name__ == "__main__":
    from tests.inference.gpu.cut_scenarios import differing, on_host
    from tests.inference.gpu.host_kernel import build
    from wsi_ai.inference.gpu.cutting import source

    sys.exit(len(differing(on_host(build(source(), _FLAGS)), int(sys.argv[1]), seed=7)))
