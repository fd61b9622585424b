"""Real servers for tests: PostgreSQL, the reference receiver, and receivers that misbehave."""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import uvicorn
from starlette.types import ASGIApp

HOST = "127.0.0.1"


def missing(what: str) -> None:
    """Skip where a server may be missing, fail where it is promised."""
    if os.environ.get("WSI_AI_REQUIRE_SERVERS"):
        pytest.fail(f"{what}, though WSI_AI_REQUIRE_SERVERS promises it")
    pytest.skip(what)


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL of our own on a socket in a temporary folder; the URL of its database."""
    binaries = _binaries()
    if binaries is None:
        missing("no PostgreSQL: apt-get install postgresql")
        return
    folder = Path(tempfile.mkdtemp(prefix="wsi-ai-pg-"))
    user = _unprivileged(folder)
    as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    data = folder / "data"
    _STARTS[f"postgresql://wsi@/postgres?host={folder}"] = start = _Start(folder, binaries, as_user)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    init = [binaries / "initdb", "-D", data, "-U", "wsi", "--auth=trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(init, check=True, **quiet, **as_user)  # type: ignore[call-overload]
    start.again()
    try:
        yield f"postgresql://wsi@/postgres?host={folder}"
    finally:
        start.stop()
        shutil.rmtree(folder, ignore_errors=True)


class _Start:
    """One that can be ended and started again."""

    def __init__(self, folder: Path, binaries: Path, as_user: dict[str, object]) -> None:
        self.folder, self.as_user = folder, as_user
        settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB"]
        settings += ["-c", "dynamic_shared_memory_type=mmap"]  # in its folder: gone with it
        self.words = [binaries / "postgres", "-D", folder / "data", "-k", folder, *settings]

    def again(self) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder}
        self.server = subprocess.Popen(self.words, **quiet, **self.as_user)  # type: ignore[call-overload]
        _until(lambda: _answers(self.folder), "PostgreSQL did not start")

    def stop(self) -> None:
        """At once, as a machine that loses its power."""
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait(20)


_STARTS: dict[str, _Start] = {}


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """A PostgreSQL of ours is away while the block runs."""
    start = _STARTS[url]
    start.stop()
    try:
        yield
    finally:
        start.again()


def empty_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return places[-1].parent if places else None


def _unprivileged(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, user)
    return user


def _answers(folder: Path) -> bool:
    try:
        psycopg.connect(f"host={folder} user=wsi dbname=postgres", connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def _until(happens: Callable[[], bool], otherwise: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


until = _until


def free_port() -> int:
    with socket.socket() as door:
        door.bind((HOST, 0))
        port: int = door.getsockname()[1]
        return port


@contextmanager
def serving(app: ASGIApp, port: int = 0, **tls: object) -> Iterator[str]:
    """The app on this machine, on a free port where none is given; its base URL."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((HOST, port))
        config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", **tls)  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        _until(lambda: server.started, "the receiver did not start")
        yield f"{'https' if tls else 'http'}://{HOST}:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


Script = Callable[[socket.socket], None]


@contextmanager
def misbehaving(*scripts: Script) -> Iterator[str]:
    """A receiver that plays a script for each connection, the last one over and over."""
    with socket.create_server((HOST, 0)) as door:

        def play() -> None:
            for number in itertools.count():
                try:
                    caller, _ = door.accept()
                except OSError:
                    return
                script = scripts[min(number, len(scripts) - 1)]
                threading.Thread(target=_play, args=(script, caller), daemon=True).start()

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        yield f"http://{HOST}:{door.getsockname()[1]}"
        door.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _play(script: Script, caller: socket.socket) -> None:
    with caller, contextlib.suppress(OSError):
        script(caller)


def read_request(caller: socket.socket) -> bytes:
    """All of one request."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += caller.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    (length,) = [
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    ]
    while len(body) < length:
        body += caller.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(status: int, *headers: str) -> Script:
    """Reads the request, gives this answer, and hangs up."""

    def play(caller: socket.socket) -> None:
        read_request(caller)
        lines = [f"HTTP/1.1 {status} As told", "Content-Length: 2", "Connection: close", *headers]
        caller.sendall("\r\n".join(lines).encode() + b"\r\n\r\n{}")

    return play
