"""nvImageCodec as a ``decoded_tiles.Codec``.  Has not met a device yet: see ``benchmarks/gpu.sh``.

It decodes into images of its own, which are used again and again, for it takes no other memory
(0.9); each is copied into its slot of the pool, in the same stream.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cupy

from wsi_ai.core.geometry import Size
from wsi_ai.errors import NoDevice
from wsi_ai.inference.gpu.cuda import CudaDevice, CudaStream, device_errors

_PACKAGES = ("nvidia-nvimgcodec-cu13", "nvidia-nvimgcodec-cu12")
_END = b"\xff\xd9"
"""Of a whole stream, in JPEG (EOI) as in JPEG 2000 (EOC); a container may pad it with zeros."""
_PADDING = 16
_ANY_WAY = 4
"""``cudaMemcpyDefault`` in driver_types.h."""
COLOURS = ("SRGB", "SYCC")
"""What may be asked for; the second leaves the samples as the stream has them."""


class NvImageCodec:
    """For one walk: no two threads may share it, and a first call with few tiles would keep its
    hardware to batches of as few.

    Its hardware, hybrid and CUDA decoders only: where those fail, the host's own decoder is the
    exact one.  Raises NoDevice where it is not installed.
    """

    def __init__(self, device: CudaDevice, tile: Size, colours: str) -> None:
        try:
            from nvidia import nvimgcodec
        except ImportError:
            raise NoDevice("nvImageCodec is not installed: pip install 'wsi-ai[cuda]'") from None
        kinds = nvimgcodec.BackendKind
        wanted = (kinds.HW_GPU_ONLY, kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU)
        with device_errors("opening nvImageCodec"):
            self._decoder = nvimgcodec.Decoder(
                device_id=device.index,
                backends=[nvimgcodec.Backend(kind) for kind in wanted],
                options=":fancy_upsampling=1",  # as libjpeg-turbo does
            )
        self._params = nvimgcodec.DecodeParams(
            apply_exif_orientation=False, color_spec=getattr(nvimgcodec.ColorSpec, colours)
        )
        self._code_stream, self._device, self._tile = nvimgcodec.CodeStream, device, tile
        self._images = list[Any]()

    def __call__(
        self, encoded: Sequence[bytes], into: Sequence[Any], stream: CudaStream
    ) -> list[bool]:
        """See ``decoded_tiles.Codec``.  What is cut short or of another size is declined: the host
        says what is wrong with it."""
        streams = [self._stream_of(data) for data in encoded]
        known = [found for found in streams if found is not None]
        with device_errors("decoding"), cupy.cuda.Device(self._device.index), stream.raw:
            images = iter(self._decoded(known, stream.raw.ptr))
            given = [None if found is None else next(images) for found in streams]
            for image, row in zip(given, into, strict=True):
                if image is not None:
                    _copy(image, row, stream.raw.ptr)
        return [image is not None for image in given]

    def _decoded(self, streams: list[Any], queue: int) -> list[Any]:
        """Into images that an earlier call made, where there are as many: their copies lie before
        it in the stream.  None is let go while it may still be copied."""
        count = len(streams)
        if not count:
            return []
        reused, rest = self._images[:count], self._images[count:]
        found: list[Any] = self._decoder.decode(
            streams,
            images=reused if len(reused) == count else None,
            params=self._params,
            cuda_stream=queue,
        )
        made = [image for image in found if image is not None]
        self._images = made + (rest if len(reused) == count else self._images)
        return [image if self._fits(image) else None for image in found]

    def _fits(self, image: Any) -> bool:
        wanted = (self._tile.height, self._tile.width, 3)
        return image is not None and tuple(image.shape) == wanted

    def _stream_of(self, data: bytes) -> Any:
        if not data[-_PADDING:].rstrip(b"\0").endswith(_END):
            return None
        try:
            found = self._code_stream(data)
        except RuntimeError:
            return None
        fits = (found.width, found.height) == (self._tile.width, self._tile.height)
        return found if fits else None


def _copy(image: Any, row: Any, queue: int) -> None:
    where, (_, width, channels) = image.__cuda_array_interface__, image.shape
    if where.get("strides") not in (None, (width * channels, channels, 1)):
        source = cupy.asarray(image)
        row.reshape(source.shape)[...] = source
    else:
        at = int(where["data"][0])
        cupy.cuda.runtime.memcpyAsync(row.data.ptr, at, row.nbytes, _ANY_WAY, queue)


def version_of_nvimagecodec() -> str | None:
    """``None`` where it is not installed."""
    for package in _PACKAGES:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None
