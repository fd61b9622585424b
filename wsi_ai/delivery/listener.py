"""Notices of images come in: HL7 over MLLP, each acknowledged once it is kept.

Whoever may say that an image is no longer a slide's may take that slide's flags back.  So only
peers with a certificate of our authority are listened to, or programs of this machine.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from wsi_ai.core.attempt import error_of
from wsi_ai.delivery.formats.hl7v2 import acknowledgement, notice
from wsi_ai.delivery.formats.hl7v2.notice import ImageNotice
from wsi_ai.delivery.formats.hl7v2.text import NotHl7, Parsed, parsed
from wsi_ai.delivery.sinks.addresses import is_loopback
from wsi_ai.errors import InputError, OutputError, SinkError

log = logging.getLogger(__name__)

_START, _END = b"\x0b", b"\x1c\x0d"


class Notices(Protocol):
    """What is done with notices.  Called by several threads; the same notice may come twice."""

    def available(self, notice: ImageNotice) -> None:
        """Returns once it is kept, so that no crash loses it; the sender does not say it again.
        Raises OutputError where it cannot be kept: the sender tries again; InputError where it
        never can be."""
        ...

    def withdrawn(self, notice: ImageNotice) -> None:
        """The image is not of that slide: its flags are taken back.  As ``available``."""
        ...


@dataclass(frozen=True, slots=True)
class Door:
    """Where to listen, and to whom."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    """Whose certificates peers have to show."""
    peers: frozenset[str] = frozenset()
    """Names in those certificates; empty: all that the authority vouches for."""
    most_bytes: int = 1 << 20
    """Of a message."""
    idle_s: float = 300.0
    """How long a peer may be silent, or take over one message."""

    def __post_init__(self) -> None:
        if self.peers and self.authority is None:
            raise SinkError("peers are known by their certificates: name their authority")
        mutual = self.certificate is not None and self.authority is not None
        if not mutual and not is_loopback(self.host):
            raise SinkError(
                "notices are taken from this machine only, or in TLS from peers that show a"
                " certificate: certificate, key and authority"
            )

    def context(self) -> ssl.SSLContext | None:
        """Raises SinkError where a certificate cannot be read."""
        if self.certificate is None:
            return None
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.authority)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError):
            raise SinkError("the listener's certificates cannot be read") from None
        context.verify_mode = ssl.CERT_REQUIRED
        return context


async def listen(door: Door, notices: Notices, ready: Callable[[int], None]) -> None:
    """Until it is cancelled.  ``ready`` is given the port.  Raises SinkError."""
    peers = set[asyncio.Task[None]]()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            peers.add(task)
            task.add_done_callback(peers.discard)
        await _Peer(door, notices, reader, writer).serve()

    try:
        server = await asyncio.start_server(
            greet, door.host, door.port, ssl=door.context(), limit=door.most_bytes
        )
    except OSError:
        raise SinkError("the listener's port cannot be opened") from None
    ready(server.sockets[0].getsockname()[1])
    try:
        await server.serve_forever()
    finally:
        for peer in peers:
            peer.cancel()
        await asyncio.gather(*peers, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Peer:
    """One connection: a message, its acknowledgement, the next one."""

    door: Door
    notices: Notices
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def serve(self) -> None:
        if not self._may_come():
            log.warning("a peer that is not among ours was sent away")
            self.writer.close()
            return
        try:
            while (block := await self._block()) is not None:
                await self._say(await self._answer(block))
        except asyncio.LimitOverrunError:
            log.warning("a peer's message has no end; the connection is closed")
            await self._say(_acknowledged(None, "AR", "the message is too long"))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the peer is gone, and says again what was not acknowledged
        finally:
            self.writer.close()

    def _may_come(self) -> bool:
        certificate = self.writer.get_extra_info("peercert") or {}
        names = {value for _, value in certificate.get("subjectAltName", ())}
        return not self.door.peers or bool(self.door.peers & names)

    async def _block(self) -> bytes | None:
        """What stands between MLLP's signs; ``None`` where the peer hung up."""
        async with asyncio.timeout(self.door.idle_s):
            try:
                read = await self.reader.readuntil(_END)
            except asyncio.IncompleteReadError as error:
                if error.partial.strip():
                    raise
                return None
        return read[: -len(_END)].rpartition(_START)[2].lstrip(b"\r\n")  # some log before it

    async def _answer(self, block: bytes) -> bytes:
        message: Parsed | None = None
        try:
            message = parsed(block)
            image = notice.read(message)
        except NotHl7 as refused:
            log.warning("a peer sent %s", refused)
            return _acknowledged(message, "AR", str(refused))
        keep = self.notices.available if image.available else self.notices.withdrawn
        error = await asyncio.to_thread(error_of, lambda: keep(image))
        if error is None:
            return _acknowledged(message, "AA", "")
        if isinstance(error, InputError):
            log.warning("a notice is refused: %s", error)
            return _acknowledged(message, "AR", str(error))
        if not isinstance(error, OutputError):
            log.debug("a notice", exc_info=error)
        log.error("a notice could not be kept; its sender is asked to send it again")
        return _acknowledged(message, "AE", "it could not be kept; send it again")

    async def _say(self, answer: bytes) -> None:
        self.writer.write(_START + answer + _END)
        async with asyncio.timeout(self.door.idle_s):
            await self.writer.drain()


def _acknowledged(message: Parsed | None, code: str, text: str) -> bytes:
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    return acknowledgement.render(message, code, text, stamp)
