"""An archive of one slide, by the standard and not by any product; and what may go wrong in it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from fastapi import FastAPI, Request, Response
from pydicom.encaps import generate_frames

from tests.delivery.servers import serving

Spoil = Callable[[str, Response], Response]
"""Takes the path that was asked for and the right answer."""


def faithful(path: str, answer: Response) -> Response:
    return answer


@dataclass
class Double:
    """Serves the frames of a file as they are stored."""

    slide: Path
    spoil: Spoil = faithful
    token: str | None = None
    """What has to be shown as a bearer; may change meanwhile."""
    asked: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def header(self) -> pydicom.Dataset:
        return pydicom.dcmread(self.slide, stop_before_pixels=True)

    @property
    def series(self) -> str:
        return f"studies/{self.header.StudyInstanceUID}/series/{self.header.SeriesInstanceUID}"

    def frames(self) -> list[bytes]:
        data = pydicom.dcmread(self.slide)
        count = int(data.NumberOfFrames)
        if data.file_meta.TransferSyntaxUID.is_encapsulated:
            return list(generate_frames(data.PixelData, number_of_frames=count))
        size = data.Rows * data.Columns * data.SamplesPerPixel
        return [data.PixelData[n * size : (n + 1) * size] for n in range(count)]

    def app(self) -> FastAPI:
        app, frames = FastAPI(), self.frames()
        syntax = str(self.header.file_meta.TransferSyntaxUID)
        described = json.dumps([self.header.to_json_dict(bulk_data_threshold=1 << 20)])

        def right(path: str) -> Response:
            if path.endswith("/metadata"):
                return Response(described, media_type="application/dicom+json")
            if "/frames/" not in path:
                return Response(status_code=404)
            numbers = [int(n) for n in path.rpartition("/")[2].split(",")]
            return framed([frames[n - 1] for n in numbers], syntax)

        @app.get("/{path:path}")
        def get(path: str, request: Request) -> Response:
            with self.lock:
                self.asked.append(path)
            shown = request.headers.get("authorization")
            if self.token is not None and shown != f"Bearer {self.token}":
                return Response(status_code=401)
            if self.series not in path:
                return Response(status_code=404)
            return self.spoil(path, right(path))

        return app

    @contextmanager
    def running(self, **tls: Any) -> Iterator[Path]:
        """The address of its series."""
        with serving(self.app(), **tls) as base:
            scheme = "dicomweb" if tls else "dicomweb+http"
            yield Path(f"{scheme}://{base.partition('://')[2]}/{self.series}")


def framed(parts: list[bytes], syntax: str, boundary: str = "a-mark") -> Response:
    kind = f"application/octet-stream; transfer-syntax={syntax}"
    body = b"".join(
        f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode() + part + b"\r\n" for part in parts
    )
    whole = f'multipart/related; type="application/octet-stream"; boundary={boundary}'
    return Response(body + f"--{boundary}--".encode(), headers={"content-type": whole})
