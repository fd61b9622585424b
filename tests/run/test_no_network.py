"""Nothing downloads without being asked to: every command for models, and a run, with sockets
forbidden."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.models_for_tests import red_network, write_model

FORBIDDEN = """
import sys

def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise OSError(f"{event} is forbidden here")

sys.addaudithook(forbid)
from typer.testing import CliRunner
from wsi_ai.cli import app

def wsi_ai(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    print(words[:3], done.exit_code, done.output[-300:], flush=True)
    if done.exit_code:
        raise SystemExit(done.exit_code)
"""


def without_sockets(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", FORBIDDEN + script],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_guard_bites(tmp_path: Path) -> None:
    script = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')"
    done = without_sockets(script, tmp_path)
    assert done.returncode == 1
    assert "is forbidden here" in done.stderr


def test_no_command_for_models_opens_a_socket(cmu: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "red", red_network(), mpp=1.0)
    (tmp_path / "other.onnx").write_bytes(red_network().SerializeToString())
    script = f"""
wsi_ai("--help")
wsi_ai("models", "--help")
wsi_ai("models", "init", "other.onnx", "--mpp", "1")
wsi_ai("models", "golden", "red", "{cmu}", "--count", "4")
wsi_ai("models", "verify", "red")
wsi_ai("models", "add", "red")
wsi_ai("models", "list")
wsi_ai("models", "show", "red")
wsi_ai("run", "{cmu}", "--model", "red@1.0.0", "--out", "out")
wsi_ai("models", "remove", "red@1.0.0")
"""
    done = without_sockets(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / ".local" / "share" / "wsi-ai" / "models" / "content").is_dir()


def test_signing_and_verifying_open_no_socket(tmp_path: Path) -> None:
    pytest.importorskip("model_signing.signing", reason="model-signing is not installed")
    key = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        "private.pem",
    ]
    subprocess.run(["openssl", *key], cwd=tmp_path, check=True, capture_output=True)
    public = ["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]
    subprocess.run(["openssl", *public], cwd=tmp_path, check=True, capture_output=True)
    write_model(tmp_path / "red", red_network(), mpp=1.0)
    script = """
wsi_ai("models", "sign", "red", "--key", "private.pem")
wsi_ai("models", "verify", "red", "--key", "public.pem")
"""
    done = without_sockets(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "signature: ok" in done.stdout
