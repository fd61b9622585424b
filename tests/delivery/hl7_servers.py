"""MLLP listeners: the library ``hl7``'s, and such as misbehave."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hl7.mllp import start_hl7_server

from tests.delivery.servers import HOST
from wsi_ai.delivery.messages import Endpoint, Hl7Settings, Tls

Answer = Callable[[Any], Any]
"""The acknowledgement of a message."""


@dataclass
class Log:
    """What a listener got."""

    port: int = 0
    got: list[Any] = field(default_factory=list)

    def values(self, segment: str, number: int, component: int = 1) -> list[str]:
        """Of the first such segment of each message."""
        return [one.extract_field(segment, 1, number, 1, component) for one in self.got]


def accept(message: Any) -> Any:
    return message.create_ack("AA")


@contextmanager
def mllp_server(answer: Answer = accept, context: ssl.SSLContext | None = None) -> Iterator[Log]:
    """``hl7``'s own listener, in a thread."""
    log, ready = Log(), threading.Event()
    stops: list[Callable[[], object]] = []

    async def take(reader: Any, writer: Any) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                message = await reader.readmessage()
                log.got.append(message)
                told = answer(message)
                if isinstance(told, bytes):
                    writer.write(told)
                else:
                    writer.writemessage(told)
                await writer.drain()
        writer.close()

    async def serve() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        server = await start_hl7_server(take, HOST, 0, encoding="utf-8", ssl=context)
        log.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        await asyncio.sleep(0.01)  # connections close in the next turn

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield log
    finally:
        stops[0]()
        thread.join(10)


def mllp_endpoint(
    port: int, tls: Tls | None = None, timeout_s: float = 5.0, host: str = HOST
) -> Endpoint:
    return Endpoint(
        name="engine",
        url=f"{'mllps' if tls else 'mllp'}://{host}:{port}",
        trusts=frozenset({"RXX"}),
        tls=tls or Tls(),
        timeout_s=timeout_s,
        allowed_hosts=frozenset({HOST, "localhost"}),
        hl7=Hl7Settings("TRIAGE", ""),
    )


def framed(text: str, control: str = "") -> bytes:
    return b"\x0b" + text.replace("CONTROL", control).encode("latin-1") + b"\x1c\r"


def control_of(message: Any) -> str:
    return str(message.segment("MSH")(10))
