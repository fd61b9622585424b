"""What a machine can do at most, by the least work that has the same size."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

Run = Callable[[], object]
PRODUCTS = 8
FEWEST_OPERATIONS = 2e9
"""Of smaller products, starting threads is the larger part."""
_CHUNK_BYTES = 1 << 20


def products(operations: float) -> Run:
    """Square matrix products in fp32 of that many multiplications and additions.

    Square ones are the best case: every number that is loaded is used often.
    """
    side = _side(operations)
    a, b = np.random.default_rng(0).random((2, side, side), np.float32)
    out = np.empty_like(a)

    def run() -> None:
        for _ in range(PRODUCTS):
            np.matmul(a, b, out=out)

    return run


def product_operations(operations: float) -> float:
    """How many ``products`` really does: whole numbers along a side."""
    return 2.0 * PRODUCTS * _side(operations) ** 3


def _side(operations: float) -> int:
    return max(1, round(float(np.cbrt(operations / PRODUCTS / 2))))


def copying(byte_count: int) -> Run:
    """From memory to memory."""
    source, target = np.ones(byte_count, np.uint8), np.empty(byte_count, np.uint8)
    return lambda: np.copyto(target, source)


def hashing(byte_count: int) -> Run:
    """SHA-256 of bytes that lie in memory."""
    chunk = bytes(min(byte_count, _CHUNK_BYTES))

    def run() -> str:
        digest = hashlib.sha256()
        for start in range(0, byte_count, len(chunk)):
            digest.update(chunk[: byte_count - start])
        return digest.hexdigest()

    return run


def reading_cached(path: Path, byte_count: int) -> Run:
    """That many bytes of a file, in order: after the first time, out of the page cache."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))

    def run() -> None:
        left = byte_count
        with path.open("rb", buffering=0) as file:
            while left > 0:
                count = file.readinto(buffer[: min(left, _CHUNK_BYTES)])
                if not count:
                    if file.tell() == 0:
                        return
                    file.seek(0, os.SEEK_SET)
                left -= count or 0

    return run
