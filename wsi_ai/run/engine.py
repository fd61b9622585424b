"""The runtime at work, and what takes its place when its device fails."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from wsi_ai.core.cards import ModelCard, RuntimeRequest
from wsi_ai.core.contracts import Runtime, TileSource
from wsi_ai.errors import DeviceError, OutOfDeviceMemory
from wsi_ai.run.pipeline import Pipeline

log = logging.getLogger(__name__)
_HOST = "cpu"


class Engine:
    """One pipeline at a time; whoever asks for it while another is being opened waits.

    ``generation`` numbers them: what was begun in one turn has to be begun again in the next.
    """

    def __init__(
        self,
        open_runtime: Callable[[RuntimeRequest], Runtime],
        request: RuntimeRequest,
        build_pipeline: Callable[[Runtime], Pipeline],
    ) -> None:
        """Opens the runtime at once.  Raises ModelError or DeviceError."""
        self._open, self._request, self._build_pipeline = open_runtime, request, build_pipeline
        self._lock = threading.Lock()
        self._generation = 0
        first = build_pipeline(open_runtime(request))
        self.card: ModelCard = first.runtime.card
        self._batch_size = first.runtime.batch_size
        self._pipeline: Pipeline | None = first

    def current(self) -> tuple[int, Pipeline]:
        """The turn and its pipeline.  Where the last one's device failed, it is opened anew: raises
        DeviceError as long as it cannot be."""
        with self._lock:
            pipeline = self._pipeline or self._open_next(self._request)
            return self._generation, pipeline

    @property
    def batch_size(self) -> int:
        """Of the runtime that was opened first."""
        return self._batch_size

    def share(self, source: TileSource) -> None:
        """Take tiles from there, as long as this turn lasts."""
        with self._lock:
            if self._pipeline is not None:
                self._pipeline = replace(self._pipeline, source=source)

    def replace_after(self, error: DeviceError) -> str:
        """Put another runtime in the place of the one that raised ``error``, and say in words what
        was done: half as many tiles at once where its memory was not enough; the host's processor
        where the device was chosen by ``auto``.

        Raises ``error`` where neither will help, DeviceError where the other does not open.  The
        next slide tries the device again.
        """
        with self._lock:
            pipeline, self._pipeline = self._pipeline, None
            if pipeline is None:
                raise error
            size = pipeline.runtime.batch_size
            pipeline = None  # its memory must be free before another is opened
            request, told = self._instead(error, size)
            log.warning("%s", told)
            self._open_next(request)
            return told

    def _instead(self, error: DeviceError, size: int) -> tuple[RuntimeRequest, str]:
        if isinstance(error, OutOfDeviceMemory) and size > 1:
            half = size // 2
            told = f"out of device memory with {size} tiles at once: went on with {half}"
            return replace(self._request, batch_size=half), told
        if self._request.device == "auto":
            told = f"{error}: went on on the host's processor"
            return replace(self._request, device=_HOST, batch_size=None), told
        raise error

    def _open_next(self, request: RuntimeRequest) -> Pipeline:
        self._pipeline = self._build_pipeline(self._open(request))
        self._request, self._generation = request, self._generation + 1
        return self._pipeline
