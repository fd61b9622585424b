"""Whether this process answers, and whether it can do its work."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from wsi_ai.core.timing import timestamp_of
from wsi_ai.delivery.outbox.outbox import Clock
from wsi_ai.errors import OutputError
from wsi_ai.service import workers
from wsi_ai.service.database.opening import SCHEMA

LEAST_FREE_BYTES = 2_000_000_000
_NOT_KEPT = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Health:
    engine: Engine
    clock: Clock
    folders: tuple[Path, ...] = ()
    """That this process writes to."""

    def routes(self) -> list[Route]:
        return [Route("/healthz", alive), Route("/readyz", self.ready)]

    def ready(self, _: Request) -> Response:
        """503 only for what this process needs: a worker that is gone is said, and no reason to
        take the pages away."""
        found = {"database": self._database(), "disk": self._disk()}
        content: dict[str, Any] = {name: why or "ok" for name, why in found.items()}
        if found["database"] is None:
            content["workers"] = self._workers()
        status = 503 if any(found.values()) else 200
        return JSONResponse(content, status, headers=_NOT_KEPT)

    def _database(self) -> str | None:
        try:
            SCHEMA.check(self.engine)
        except OutputError as error:
            return str(error)
        return None

    def _disk(self) -> str | None:
        for folder in self.folders:
            try:
                free = shutil.disk_usage(folder).free
            except OSError as error:
                return f"a folder that is written to cannot be looked at: {error.strerror}"
            if free < LEAST_FREE_BYTES:
                return f"{free / 1e9:.1f} GB are free where results go, and 2 GB are needed"
        return None

    def _workers(self) -> list[dict[str, Any]]:
        return [
            {
                "worker": one.worker_id,
                "device": one.device,
                "beat": timestamp_of(one.beat),
                "gone": one.gone,
                "draining": one.draining,
            }
            for one in workers.up(self.engine, self.clock())
        ]


def alive(_: Request) -> Response:
    return PlainTextResponse("ok\n", headers=_NOT_KEPT)
