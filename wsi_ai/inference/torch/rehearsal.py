"""Weights that nobody vouched for are loaded in another process first.

What takes the memory of the machine, never ends or breaks PyTorch does so there.  A process that
has PyTorch ready waits half a minute for the next file, so that only the first one waits for it;
each file gets a process of its own.
"""

import atexit
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

from wsi_ai.errors import ModelError
from wsi_ai.inference.torch.errors import MEANS

_IDLE_S, _STARTS_S, _LOADS_S = 30, 120, 180
_LONGEST = 1 << 20


def rehearse(name: str, kind: str, content: bytes) -> list[str]:
    """Load it apart; the operators of a TorchScript file, as it really has them.  Raises ModelError
    where it does not load, or where it takes what no network takes."""
    answer = _STAGE.ask(kind, content)
    if answer is None:
        raise ModelError(
            f"{name} does not load: it took more memory or time than a network of its size needs,"
            " or broke the process that tried it"
        )
    if "more" in answer:
        raise ModelError(f"{name} holds more than tensors: {MEANS}")
    if "error" in answer:
        raise ModelError(f"{name} does not load: {answer['error']}")
    operators: list[str] = answer["operators"]
    return operators


@dataclass(slots=True)
class _Stage:
    """The waiting process, and the way to it."""

    way: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None
    turn: Any = field(default_factory=threading.Lock)
    owner: int = 0

    def ask(self, kind: str, content: bytes) -> dict[str, Any] | None:
        """``None`` where the process that loaded it was ended."""
        with self.turn:
            for _ in range(2):  # it may have ended meanwhile, by itself
                try:
                    return self._asked(kind, content)
                except (ConnectionError, EOFError):
                    self.close()
        return None

    def _asked(self, kind: str, content: bytes) -> dict[str, Any] | None:
        way = self.way if self.way is not None and self.owner == os.getpid() else self._open()
        given = os.memfd_create("weights", os.MFD_CLOEXEC)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(given, view) :]
            way.settimeout(_STARTS_S + _LOADS_S)
            socket.send_fds(way, [kind.encode()], [given])
            reply = _message(way)
        except TimeoutError:
            self.close()
            return None
        finally:
            os.close(given)
        answer: dict[str, Any] | None = json.loads(reply)
        return answer

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
        self.process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self.way, self.owner = ours, os.getpid()
        return ours

    def close(self) -> None:
        if self.way is not None:
            self.way.close()
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        self.way = self.process = None


_STAGE = _Stage()
atexit.register(_STAGE.close)


def _message(way: socket.socket) -> bytes:
    """A line.  Raises EOFError where the other end is gone."""
    text = bytearray()
    while not text.endswith(b"\n"):
        part = way.recv(1 << 16)
        if not part or len(text) > _LONGEST:
            raise EOFError
        text += part
    return bytes(text)


def _serve(way: socket.socket) -> None:
    """Until nobody asked for a while."""
    from wsi_ai.inference.torch.sandbox import without_network

    without_network()
    from wsi_ai.inference.torch import load_apart  # torch, with its threads, after that

    way.settimeout(_IDLE_S)
    while True:
        try:
            kind, given, _, _ = socket.recv_fds(way, 64, 1)
        except TimeoutError:
            return
        if not kind:
            return
        load_apart.make_ready(kind.decode())
        way.sendall(_answer(kind.decode(), given[0]) + b"\n")
        os.close(given[0])


def _answer(kind: str, given: int) -> bytes:
    """Of a process of its own, which may end as it likes."""
    from wsi_ai.inference.torch.load_apart import load_apart
    from wsi_ai.inference.torch.sandbox import limit, without_files

    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(here)
        signal.alarm(_LOADS_S)
        without_files()
        limit(os.fstat(given).st_size)
        with os.fdopen(given, "rb") as file:
            file.seek(0)
            answer = load_apart(kind, io.BytesIO(file.read()))
        os.write(there, json.dumps(answer).encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        line = pipe.read(_LONGEST)
    os.waitpid(child, 0)
    return line or b"null"


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
