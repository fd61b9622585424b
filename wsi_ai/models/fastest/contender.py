"""A process that runs one model on one device, to be timed: what breaks it breaks no run, and what
it held goes with it."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.values import TileBatch
from wsi_ai.errors import DeviceError, ModelError
from wsi_ai.inference.registry import open_runtime
from wsi_ai.inference.trial import trial_tiles
from wsi_ai.models.fastest.messages import Ready, Refused, Took, Turn
from wsi_ai.models.fastest.scheduled import Scheduled
from wsi_ai.models.parity import hold_to_golden

Open = Callable[[ModelCard, RuntimeRequest], Runtime]


def serve(way: Connection, opened: Open = open_runtime) -> None:
    """A card and a request come, and turns after that, until the other end is gone."""
    card, request = way.recv()
    try:
        runtime = opened(card, request)
        hold_to_golden(runtime, request.precision)
        batch = _batch(runtime)
        list(runtime.predict([batch]))
        way.send(Ready(runtime.description))
        while True:
            turn: Turn = way.recv()
            way.send(_took(runtime, batch, turn.least_s))
    except (ModelError, DeviceError) as error:
        way.send(Refused(str(error).partition("; give ")[0]))
    except MemoryError:
        way.send(Refused("there is not enough memory for it"))
    except (EOFError, ConnectionError):
        return


def _batch(runtime: Runtime) -> TileBatch:
    """As many tiles as it wants at once, of two that look like tissue."""
    two, count = np.stack(trial_tiles(runtime.card.tile.size_px)), runtime.batch_size
    return TileBatch("trial", np.arange(count), two[np.arange(count) % 2])


def _took(runtime: Runtime, batch: TileBatch, least_s: float) -> Took:
    began, before, batches = time.perf_counter(), Scheduled.now(), 0
    while True:
        list(runtime.predict([batch]))
        batches += 1
        if (seconds := time.perf_counter() - began) >= least_s:
            share = Scheduled.now().share_since(before)
            return Took(batches * len(batch.index), seconds, share)


def _die_first() -> None:
    """Where memory runs out the system ends this process, and not the run that asked."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


if __name__ == "__main__":
    _die_first()
    serve(Connection(int(sys.argv[1])))
