"""What leaves a site: one signed document for one look at its trial.

For the audience ``open`` it has what the door lets out.  For ``controlled`` it has the site's sums,
encrypted to the region's key and bound to everything that stands beside them.  Either way it is
bound to protocol, site, lock, look and the bundle before it, so that an old one is not a new one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from wsi_ai import schemas
from wsi_ai.core.software import software
from wsi_ai.errors import TrialError
from wsi_ai.schemas.reading import Unreadable, from_json
from wsi_ai.trial.disclosure.published import render
from wsi_ai.trial.disclosure.site import Entries, publish_sums
from wsi_ai.trial.documents import Document, Kind, canonical, verified
from wsi_ai.trial.evidence.accuracy import FlagTable
from wsi_ai.trial.patients import NOT_LISTED, NOT_STATED
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sums import SiteSums, Subgroup, of_document, to_document

SCHEMA = "trial-bundle-1"
_NO_LEVEL = (NOT_STATED, NOT_LISTED)
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Audience(StrEnum):
    """Who may read it."""

    OPEN = "open"
    CONTROLLED = "controlled"


@dataclass(frozen=True, slots=True)
class Running:
    """A site's bundles of one trial are numbered, and each names the one before."""

    number: int
    previous: str | None = None
    """SHA-256 of the file."""

    def __post_init__(self) -> None:
        if self.number < 1 or (self.number == 1) is not (self.previous is None):
            raise ValueError("the first bundle has none before it, and every other one has")


def open_bundle(sums: SiteSums, protocol: Protocol, running: Running) -> Document:
    """Small numbers hidden, the others rounded.  Raises TrialError."""
    whole = with_all_levels(sums, protocol)
    return open_document(whole, publish_sums(whole, protocol.small_numbers), protocol, running)


def open_document(
    sums: SiteSums, entries: Entries, protocol: Protocol, running: Running
) -> Document:
    """Takes what the door let out, and nothing else can be put there."""
    check_sums(sums, protocol)
    header = _header(sums, Audience.OPEN, running)
    return {**header, "open": json.loads(render(entries))}


def controlled_bundle(sums: SiteSums, protocol: Protocol, running: Running) -> Document:
    """Exact counts, for the region alone.  Raises TrialError where no agreement is named."""
    check_sums(sums, protocol)
    sharing = protocol.document["sharing"]
    if sharing["audience"] != Audience.CONTROLLED or "agreement" not in sharing:
        raise TrialError("the protocol names no agreement under which exact counts leave a site")
    if "region_public" not in sharing:
        raise TrialError("the protocol has no key of the region: sharing.region_public")
    header = _header(sums, Audience.CONTROLLED, running)
    key = X25519PublicKey.from_public_bytes(bytes.fromhex(sharing["region_public"]))
    content = canonical(to_document(with_all_levels(sums, protocol)))
    sealed = _SUITE.encrypt(content, key, canonical(header))
    return {**header, "sealed": sealed.hex()}


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """As a site signed it: of this protocol, by this site's own key."""

    document: Document
    sha256: str
    """Of the file."""

    @property
    def site(self) -> str:
        return str(self.document["site"])

    @property
    def look(self) -> int:
        return int(self.document["look"])

    @property
    def number(self) -> int:
        return int(self.document["number"])

    @property
    def shown(self) -> Mapping[str, Any] | None:
        """What an open bundle shows, by name."""
        return self.document.get("open")

    @property
    def opened_early(self) -> bool:
        return bool(self.document["opened_early"])


def signed_document(content: bytes, public_pems: Sequence[bytes]) -> Document:
    """A bundle by one of these keys, of any protocol.  Raises TrialError."""
    document = verified(content, Kind.BUNDLE, public_pems)
    if wrong := schemas.complaint(SCHEMA, document):
        raise TrialError(f"it is no bundle: {wrong}")
    return document


def exact_sums(bundle: Bundle, region_key: bytes) -> SiteSums:
    """Of a controlled bundle.  Raises TrialError."""
    header = {name: value for name, value in bundle.document.items() if name != "sealed"}
    key = X25519PrivateKey.from_private_bytes(region_key)
    sealed = bytes.fromhex(bundle.document["sealed"])
    try:
        document = from_json(_SUITE.decrypt(sealed, key, canonical(header)))
    except InvalidTag:
        raise TrialError("it was encrypted to another key, or for another bundle") from None
    except Unreadable:
        raise TrialError("what was encrypted is no document") from None
    sums = of_document(document)
    if _origin(sums) != {name: header[name] for name in _origin(sums)}:
        raise TrialError("its counts are of another analysis than it says")
    return sums


def check_sums(sums: SiteSums, protocol: Protocol) -> None:
    """Of this protocol: its site, and its looks.  Raises TrialError."""
    if sums.origin.protocol_sha256 != protocol.sha256:
        raise TrialError("the analysis is of another protocol")
    protocol.site(sums.origin.site)
    if sums.origin.look > max(1, len(protocol.document.get("look", []))):
        raise TrialError("the protocol has no such look: nothing is released in between")


def levels_of(protocol: Protocol) -> dict[str, tuple[str, ...]]:
    """Each subgroup's levels as the protocol closes them, and those of cases that have none of
    them: a bundle shows all, so that it does not depend on who came."""
    return {
        s["name"]: (*s["levels"], *(one for one in _NO_LEVEL if one not in s["levels"]))
        for s in protocol.document.get("subgroup", [])
    }


def with_all_levels(sums: SiteSums, protocol: Protocol) -> SiteSums:
    """Levels without a case have an empty table.  Raises TrialError where there are others."""
    asked = levels_of(protocol)
    if [s.name for s in sums.subgroups] != list(asked):
        raise TrialError("the analysis has other subgroups than the protocol")
    return replace(sums, subgroups=tuple(_with_levels(s, asked[s.name]) for s in sums.subgroups))


def _with_levels(subgroup: Subgroup, levels: tuple[str, ...]) -> Subgroup:
    tables = dict(zip(subgroup.levels, subgroup.tables, strict=True))
    if not tables.keys() <= set(levels):
        raise TrialError("the analysis has other subgroups than the protocol")
    found = tuple(tables.get(level, FlagTable()) for level in levels)
    return Subgroup(subgroup.name, levels, found)


def _header(sums: SiteSums, audience: Audience, running: Running) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "audience": audience.value,
        "number": running.number,
        "previous": running.previous,
        "software": software(),
        **_origin(sums),
    }


def _origin(sums: SiteSums) -> dict[str, Any]:
    return asdict(sums.origin)
