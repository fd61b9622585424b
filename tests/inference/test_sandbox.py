"""The process in which weights of nobody known are loaded first can compute, and nothing else."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, socket, sys
from pathlib import Path
from wsi_ai.inference.torch.sandbox import limit, without_files, without_network

without_network()
without_files()
limit(1000)
tries = {
    "network": lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 1),
    "write": lambda: Path(sys.argv[1], "new").write_text("x"),
    "change": lambda: Path(sys.argv[1], "kept").write_text("x"),
    "remove": lambda: Path(sys.argv[1], "kept").unlink(),
    "memory": lambda: bytearray(3 << 30),
    "execute": lambda: os.execv("/bin/true", ["true"]),
}
for name, attempt in tries.items():
    try:
        attempt()
    except (OSError, MemoryError):
        print(name, "stopped", flush=True)
"""


def test_it_reaches_no_network_writes_and_executes_no_file_and_has_bounded_memory(
    tmp_path: Path,
) -> None:
    (tmp_path / "kept").write_text("as it was")
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = [sys.executable, "-c", SCRIPT, str(tmp_path), str(server.getsockname()[1])]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    stopped = set(done.stdout.split()) - {"stopped"}
    assert {"memory"} <= stopped, done.stderr
    assert (tmp_path / "kept").exists()
    if not {"network", "write", "change", "remove", "execute"} <= stopped:
        pytest.skip(f"this system has no means against all of it: {sorted(stopped)} were stopped")
    assert (tmp_path / "kept").read_text() == "as it was"
