"""Locking a site's reference, and what the region gives back: the key that opens its flags."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from wsi_ai.core.files import write_private
from wsi_ai.delivery.audit import Audit
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.schemas.reading import TABLE_BYTES
from wsi_ai.trial.documents import Document, Kind, key_sha256, sign, verified
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.reference import ReferenceTable, Truth, parse_reference
from wsi_ai.trial.sealing import LOCKED, SEALED, Trial, entries, lock_reference
from wsi_ai.trial.site_folder import SiteFolder, content_of
from wsi_ai.trial.work_folder import work_folder

RELEASED = "key released"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person says beside the reference."""

    incomplete: bool = False
    """More references are missing than the protocol allows, and that is known."""
    reason: str | None = None
    """Of a correction."""


def lock(folder: SiteFolder, reference: Path, asked: Asked = Asked()) -> bytes:
    """From now on it is this reference.  Returns the site's signed word of it: digests and counts.

    Raises TrialError where it contradicts itself, where too many are missing, or where another one
    is locked and no reason is given; OutputError where a run is at work.
    """
    content = content_of(reference, TABLE_BYTES)
    document = folder.protocol.document
    table = parse_reference(content, document["target"])
    _refuse_others(table, folder.trial.site)
    _refuse(table, document["missing"]["max_share"], asked)
    if not any(line["what"] == SEALED for line in entries(folder.trial)):
        raise TrialError("no flag is sealed yet: wsi-ai trial run comes first")
    about = {"incomplete": asked.incomplete, **_counts(table)}
    with work_folder(folder.path):  # no run goes on, and what a killed one left is gone
        lock_reference(folder.trial, content, asked.reason, about)
        _keep(folder, content)
    return sign(_word(folder), Kind.LOCK, content_of(folder.key))


def _refuse_others(table: ReferenceTable, site: str) -> None:
    """They would count as cases that were never run."""
    if others := sum(case.identity.trust != site for case in table.cases):
        raise TrialError(f"{others} cases of the reference are of another trust than {site}")


def _refuse(table: ReferenceTable, max_share: float, asked: Asked) -> None:
    if table.contradictions:
        lines = ", ".join(str(line) for line in table.contradictions[0])
        raise TrialError(
            f"{len(table.contradictions)} cases contradict themselves, the first in lines {lines}"
        )
    missing = table.number(Truth.MISSING)
    if missing > max_share * len(table.cases) and not asked.incomplete:
        raise TrialError(
            f"{missing} of {len(table.cases)} cases have no reference, more than the protocol"
            " allows; --incomplete locks all the same, and the report's first line says so"
        )


def _counts(table: ReferenceTable) -> dict[str, int]:
    return {"cases": len(table.cases), "missing": table.number(Truth.MISSING)}


def locks(folder: SiteFolder) -> list[Mapping[str, Any]]:
    """The ledger's lines of them; the last one holds."""
    return [line for line in entries(folder.trial) if line["what"] == LOCKED]


def reference_at(folder: SiteFolder, number: int) -> bytes:
    """Of a lock, the first is 1, as it was then.  Raises TrialError where it was changed."""
    content = content_of(_place(folder, number), TABLE_BYTES)
    if hashlib.sha256(content).hexdigest() != locks(folder)[number - 1]["reference_sha256"]:
        raise TrialError(f"reference {number} was changed since it was locked")
    return content


def _place(folder: SiteFolder, number: int) -> Path:
    return folder.path / f"reference-{number}.csv"


def _keep(folder: SiteFolder, content: bytes) -> None:
    place = _place(folder, len(locks(folder)))
    try:
        write_private(place, content)
    except OSError as error:
        raise OutputError(f"the reference cannot be kept: {error.strerror}") from None


def _word(folder: SiteFolder) -> Document:
    found = locks(folder)
    lines = entries(folder.trial)
    names = ("reference_sha256", "reason", "incomplete", "cases", "missing")
    return {
        "protocol_sha256": folder.protocol.sha256,
        "trial_id": folder.protocol.document["trial_id"],
        "site": folder.trial.site,
        "locks": len(found),
        "sealed": sum(line["what"] == SEALED for line in lines),
        **{name: found[-1][name] for name in names},
    }


@dataclass(frozen=True, slots=True)
class Keys:
    """What the region has at hand."""

    unseal: Sequence[bytes]
    """Private keys of sites, X25519, 32 bytes each."""
    sites: Sequence[bytes]
    """Public keys of sites, in PEM."""
    region: bytes
    """Its own private key, in PEM."""


def release(locked: bytes, protocol: Protocol, keys: Keys, register: Audit) -> bytes:
    """The region's signed word that this site may open its flags now.  The same lock gets the same
    key again.  Raises TrialError for a second lock of the same flags, and where a signature does
    not hold."""
    word = verified(locked, Kind.LOCK, keys.sites)
    site = protocol.site(word["site"])
    signers = [pem for pem in keys.sites if key_sha256(pem) == site["key_sha256"]]
    verified(locked, Kind.LOCK, signers)
    if word["protocol_sha256"] != protocol.sha256:
        raise TrialError("the lock is of another protocol")
    key = _unseal_key(keys.unseal, site["unseal_public"])
    _register(register, word, site["unseal_public"])
    names = ("protocol_sha256", "site", "reference_sha256")
    document = {**{name: word[name] for name in names}, "unseal_private": key.hex()}
    return sign(document, Kind.RELEASE, keys.region)


def _unseal_key(keys: Sequence[bytes], public: str) -> bytes:
    for key in keys:
        if X25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw().hex() == public:
            return key
    raise TrialError("there is no key here that opens this site's flags")


def _register(register: Audit, word: Document, public: str) -> None:
    """One lock for each key: whoever has it can read the flags, and could fit another reference."""
    line = {"what": RELEASED, "site": word["site"], "unseal_public": public}
    line |= {name: word[name] for name in ("protocol_sha256", "reference_sha256")}
    for before in _released(register):
        if before["unseal_public"] == public:
            if before["reference_sha256"] != word["reference_sha256"]:
                raise TrialError(
                    "this site's key was released for another lock: a correction needs no second"
                    " key, and its report shows both results"
                )
            return
    register.append([line])


def released_locks(register: Audit, protocol_sha256: str) -> dict[str, str]:
    """By site: the reference for which its key was released.  Raises TrialError."""
    return {
        line["site"]: line["reference_sha256"]
        for line in _released(register)
        if line["protocol_sha256"] == protocol_sha256
    }


def _released(register: Audit) -> list[Mapping[str, Any]]:
    found = entries(Trial(register.path.parent, "", "", register))
    return [line for line in found if line["what"] == RELEASED]


def unseal_key(folder: SiteFolder, released: bytes) -> bytes:
    """The private key, where the region released it for this site's first lock.  Raises
    TrialError."""
    word = verified(released, Kind.RELEASE, folder.trusted)
    if (word["protocol_sha256"], word["site"]) != (folder.protocol.sha256, folder.trial.site):
        raise TrialError("the key was released for another trial or site")
    if not (found := locks(folder)):
        raise TrialError("lock the reference first: wsi-ai trial reference lock")
    if word["reference_sha256"] not in {line["reference_sha256"] for line in found}:
        raise TrialError("the key was released for another reference than any that was locked")
    return bytes.fromhex(word["unseal_private"])


def make_unseal_key(place: Path) -> str:
    """A site's pair: the private half goes to a new file of its owner's alone, the public half, in
    hex, into the protocol.  Raises OutputError where the file is there."""
    key = X25519PrivateKey.generate()
    try:
        place.touch(0o600, exist_ok=False)
        place.write_text(key.private_bytes_raw().hex() + "\n")
    except FileExistsError:
        raise OutputError("there is a key of this name already") from None
    except OSError as error:
        raise OutputError(f"the key cannot be written: {error.strerror}") from None
    return key.public_key().public_bytes_raw().hex()
