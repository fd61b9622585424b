"""Sums over sites of which nobody sees a part.

Each pair of sites shares a secret (X25519); from it and from the round both draw the same mask
(HKDF-SHA256, ChaCha20), which one adds and the other subtracts, modulo 2⁶⁴ (after Bonawitz et al.
2017, CCS, without its recovery of sites that drop out: the others begin a new round).

What it holds against: anybody who sees what is sent, and the region. What it does not: all sites
but one together know the last one's numbers. A sum is an exact count, and goes through the door
like any other. **One vector a round**: a site that sends two different ones under one round gives
away their difference, so whoever calls ``masked`` keeps a record of rounds.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

FEWEST_SITES = 5
MOST = 2**32 - 1
"""A site's count; so that a sum that was not put together from its parts is noticed."""
_PURPOSE = b"wsi-ai trial secure sum 1\0"
Counts = NDArray[np.int64]
Masked = NDArray[np.uint64]


class NotASum(ValueError):
    """What was sent does not add up to anything."""


@dataclass(frozen=True, slots=True)
class Round:
    """Who sums what: the same for all sites."""

    sites: tuple[bytes, ...]
    """Public keys, 32 bytes each."""
    columns: tuple[str, ...]
    """What each count is of, in order."""
    occasion: str
    """Protocol digest, look and attempt: no round is held twice."""

    def __post_init__(self) -> None:
        if len(self.sites) < FEWEST_SITES:
            raise ValueError(f"with fewer than {FEWEST_SITES} sites a sum gives single ones away")
        if any(len(key) != 32 for key in self.sites):
            raise ValueError("a public key has 32 bytes")
        if not all(a < b for a, b in pairwise(self.sites)):
            raise ValueError("public keys are in order, and each is there once")

    @property
    def digest(self) -> bytes:
        """Of everything that all have to agree on."""
        parts = (*self.sites, b"", *(c.encode() for c in self.columns), b"", self.occasion.encode())
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hashlib.sha256(_PURPOSE + framed).digest()


def masked(counts: Counts, key: X25519PrivateKey, sums: Round) -> Masked:
    """This site's part: noise to everybody, but for the sum of all."""
    own = key.public_key().public_bytes_raw()
    if own not in sums.sites:
        raise ValueError("this site is not one of those that sum")
    if counts.shape != (len(sums.columns),) or (counts < 0).any() or (counts > MOST).any():
        raise ValueError(f"there is a count from 0 to {MOST} for each column")
    found = counts.astype(np.uint64)
    for other in sums.sites:
        if other != own:
            mask = _mask(key, other, sums)
            found = found + mask if own < other else found - mask
    return found


def add_up(parts: Mapping[bytes, Masked], sums: Round) -> Counts:
    """By site's public key.  Raises NotASum where one is missing, or is of another round."""
    if set(parts) != set(sums.sites):
        raise NotASum("each site sends its part, or the others begin a new round without it")
    if any(part.shape != (len(sums.columns),) for part in parts.values()):
        raise NotASum("a part is of other columns")
    total = np.add.reduce(_in_order(parts, sums.sites))
    if (total > np.uint64(len(sums.sites) * MOST)).any():
        raise NotASum("the parts are not of one round")
    return np.asarray(total, np.int64)


def _in_order(parts: Mapping[bytes, Masked], sites: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.array([parts[site] for site in sites], np.uint64)


def _mask(key: X25519PrivateKey, other: bytes, sums: Round) -> Masked:
    secret = key.exchange(X25519PublicKey.from_public_bytes(other))
    seed = HKDF(hashes.SHA256(), 32, salt=sums.digest, info=_PURPOSE).derive(secret)
    stream = Cipher(algorithms.ChaCha20(seed, bytes(16)), None).encryptor()
    return np.frombuffer(stream.update(bytes(8 * len(sums.columns))), "<u8").astype(np.uint64)
