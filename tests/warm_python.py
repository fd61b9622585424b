"""A Python that has its libraries loaded and runs each command in a fork of itself.

``python tests/warm_python.py`` reads a command a line, as JSON (``words``, ``folder``, ``paths``),
and answers with its exit status; what it prints goes to ``printed`` in the folder.  Nothing of
wsi_ai, or of the folder, is loaded before the fork: each command finds its own.
"""

import contextlib
import importlib
import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

LIBRARIES = (
    "numpy", "cv2", "zarr", "zarr.api.synchronous", "tifffile", "imagecodecs", "pydicom",
    "openslide", "PIL.Image", "onnxruntime", "shapely", "jsonschema", "rich.progress", "typer",
    "regex", "tomlkit",
    "sqlalchemy", "pydantic", "httpcore", "simplejpeg", "platformdirs", "pytest",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
)  # fmt: skip
WITHOUT = "torch"
"""As where that extra is not installed: no page needs it, and it takes longest to load."""
OPTIONS = "-W ignore::pytest.PytestAssertRewriteWarning"
"""pytest's plug-ins are among what is loaded already."""


def run(words: list[str], folder: str, paths: list[str]) -> int:
    """As ``python WORDS`` with these in front of ``sys.path``."""
    os.chdir(folder)
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # for processes of its own
    os.environ["PYTEST_ADDOPTS"] = OPTIONS
    sys.argv = words[1:] if words[0] == "-m" else list(words)
    try:
        if words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # whatever it is, the caller is shown it
        traceback.print_exc()
        return 1
    return 0


def in_a_fork(asked: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with Path(asked["folder"], "printed").open("wb") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    status = run(asked["words"], asked["folder"], asked["paths"])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [path for path in sys.path if path != here]
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.modules[WITHOUT] = None  # type: ignore[assignment]
    for line in sys.stdin:
        print(in_a_fork(json.loads(line)), flush=True)
