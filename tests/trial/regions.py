"""A region: its protocol, its sites' keys, and what they would send."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.trial.protocols import document, key_pair
from tests.trial.sums import drawn_sums, origin
from wsi_ai.trial.bundle import Running, controlled_bundle, open_bundle
from wsi_ai.trial.documents import Document, Kind, key_sha256, sign
from wsi_ai.trial.intake import Door
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sums import SiteSums

Make = Callable[[SiteSums, Protocol, Running], Document]


@dataclass(frozen=True)
class Region:
    """``sites`` trusts, RA0 and on."""

    sites: int = 5
    trial_id: str = "prostate-2027"
    key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(f"RA{chr(65 + k)}" for k in range(self.sites))

    @cached_property
    def pems(self) -> dict[str, tuple[bytes, bytes]]:
        return {name: key_pair() for name in self.names}

    @cached_property
    def protocol(self) -> Protocol:
        made = document()
        made["trial_id"] = self.trial_id
        made["sharing"] = {
            "audience": "controlled",
            "agreement": "DSA 7",
            "region_public": self.key.public_key().public_bytes_raw().hex(),
        }
        made["site"] = [
            {"ods": n, "key_sha256": key_sha256(self.pems[n][1]), "unseal_public": f"{k:064x}"}
            for k, n in enumerate(self.names)
        ]
        return Protocol(made)

    @property
    def public(self) -> list[bytes]:
        return [public for _, public in self.pems.values()]

    def door(self, look: int = 1, **seen: int) -> Door:
        return Door(self.protocol, self.public, look, seen)

    def door_of_locks(self, released: dict[str, str], look: int = 2) -> Door:
        return Door(self.protocol, self.public, look, {}, released)

    def sums(self, site: str, look: int = 1, cases: int = 300, seed: int | None = None) -> SiteSums:
        at = origin(site, self.protocol.sha256, look)
        number = self.names.index(site) if seed is None else seed
        return drawn_sums(number, at, cases=cases, levels=("white", "mixed"))

    def bundle(self, site: str, look: int = 1, make: Make = controlled_bundle) -> bytes:
        return self.signed(make(self.sums(site, look), self.protocol, Running(1)), site)

    def signed(self, made: Document, by: str) -> bytes:
        return sign(made, Kind.BUNDLE, self.pems[by][0])

    def all_bundles(self, look: int = 1) -> dict[str, bytes]:
        return {f"{site}.dsse": self.bundle(site, look) for site in self.names}


def opened_early(sums: SiteSums) -> SiteSums:
    return replace(sums, origin=replace(sums.origin, opened_early=True))


__all__ = ["Region", "controlled_bundle", "open_bundle", "opened_early"]
