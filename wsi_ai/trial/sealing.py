"""Flags that nobody reads before the reference standard is locked.

Each record is sealed alone (HPKE, RFC 9180) to the public key that the protocol has for this site;
the private key is the region's. The site's ledger, an audit chain, has a line for each: what was
asked of which bytes, and the digest of what was sealed. So a record that is taken out, put in, or
put in another's place is found, and so is a ledger that was cut, by whoever keeps its head.
Records are padded, so that their length says nothing of what is in them.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from wsi_ai.core.files import locked, sync
from wsi_ai.delivery.audit import Audit, AuditBroken, Head, verify
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.trial.documents import canonical

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_PREFIX, _MULTIPLE = 8, 1 << 16
"""Bytes; a flag and the record of its run are a few KiB, with the longest of findings."""
LOCKED, SEALED, UNSEALED = "reference locked", "sealed", "unsealed"


@dataclass(frozen=True, slots=True)
class Question:
    """Of which bytes what was asked: by digests, which say nothing of a patient."""

    slide_sha256: str
    question_sha256: str
    """Of model, policy and settings, as ``run.json`` has it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A site's folder of one trial."""

    folder: Path
    protocol_sha256: str
    site: str
    ledger: Audit

    @property
    def sealed(self) -> Path:
        return self.folder / "sealed"

    def context(self, question: Question) -> bytes:
        """What a record is bound to: it opens nowhere else."""
        return canonical(
            {
                "protocol": self.protocol_sha256,
                "site": self.site,
                "slide": question.slide_sha256,
                "question": question.question_sha256,
            }
        )


def entries(trial: Trial) -> list[Mapping[str, Any]]:
    """The ledger's lines, if the chain holds.  Raises TrialError."""
    try:
        if not trial.ledger.path.exists():
            return []
        verify(trial.ledger.path)
        lines = trial.ledger.path.read_text("utf-8").splitlines()
    except (AuditBroken, OutputError, OSError) as error:
        raise TrialError(f"the ledger does not hold: {error}") from None
    return [json.loads(line) for line in lines]


def head_at_lock(trial: Trial) -> Head:
    """Where the ledger ended with the last lock, however often flags were read since.  Raises
    TrialError where there is no lock."""
    numbers = [n for n, line in enumerate(entries(trial)) if line["what"] == LOCKED]
    if not numbers:
        raise TrialError("lock the reference first: wsi-ai trial reference lock")
    line = trial.ledger.path.read_bytes().splitlines()[numbers[-1]]
    return Head(numbers[-1] + 1, _sha256(line))


def seal(trial: Trial, question: Question, record: bytes, public_key: bytes) -> bool:
    """Keep a record that nobody here can read; ``False`` where this question was asked before.

    A crash leaves a file without a line, which counts for nothing.  Raises TrialError where the
    reference is locked, OutputError where the disk refuses.
    """
    with alone(trial):
        known = entries(trial)
        if any(line["what"] == LOCKED for line in known):
            raise TrialError("the reference is locked: no flag is added any more")
        before = [line for line in known if line["what"] == SEALED]
        if any(_question(line) == question for line in before):
            return False
        _add(trial, question, record, public_key)
        return True


def _add(trial: Trial, question: Question, record: bytes, public_key: bytes) -> None:
    """Under a number that no file has: nothing is ever written over."""
    number = next(n for n in itertools.count(1) if not _place(trial, n).exists())
    key = X25519PublicKey.from_public_bytes(public_key)
    content = _SUITE.encrypt(_padded(record), key, trial.context(question))
    _write(_place(trial, number), content)
    line = {"what": SEALED, "number": number, "sealed_sha256": _sha256(content)}
    asked = {"slide": question.slide_sha256, "question": question.question_sha256}
    trial.ledger.append([{**line, **asked}])


@contextmanager
def alone(trial: Trial) -> Iterator[None]:
    """Among processes that seal or lock.  Raises OutputError."""
    try:
        trial.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (trial.folder / "sealing.lock").open("a") as file, locked(file):
            yield
    except OSError as error:
        raise OutputError(f"the trial's folder cannot be written: {error.strerror}") from None


def was_sealed(trial: Trial, question: Question) -> bool:
    """Whether this very question was answered before.  Raises TrialError."""
    return any(line["what"] == SEALED and _question(line) == question for line in entries(trial))


def lock_reference(
    trial: Trial,
    reference: bytes,
    reason: str | None = None,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """From now on it is this reference; another one needs a reason, and both are reported.

    ``about`` is what the ledger says of it besides.  Raises TrialError.
    """
    sha256 = _sha256(reference)
    with alone(trial):
        locks = [line for line in entries(trial) if line["what"] == LOCKED]
        if locks and locks[-1]["reference_sha256"] == sha256:
            return
        if locks and not reason:
            raise TrialError("the reference is locked already; a correction needs a reason")
        line = {"what": LOCKED, "reference_sha256": sha256, "reason": reason}
        trial.ledger.append([{**line, **about}])


def check_reference(trial: Trial, reference: bytes) -> None:
    """Raises TrialError where it is not the one that was locked."""
    locks = [line for line in entries(trial) if line["what"] == LOCKED]
    if not locks:
        raise TrialError("lock the reference first: trial reference lock")
    if locks[-1]["reference_sha256"] != _sha256(reference):
        raise TrialError("the reference was changed since it was locked")


def unseal(trial: Trial, reference: bytes, private_key: bytes) -> Iterator[tuple[Question, bytes]]:
    """Every record, in the order of sealing; the ledger has a line of it before the first.

    Raises TrialError, which names a record by its number.
    """
    check_reference(trial, reference)
    known = entries(trial)
    key = X25519PrivateKey.from_private_bytes(private_key)
    trial.ledger.append([{"what": UNSEALED, "reference_sha256": _sha256(reference)}])
    for line in known:
        if line["what"] == SEALED:
            yield _question(line), _open(trial, line, key)


def _open(trial: Trial, line: Mapping[str, Any], key: X25519PrivateKey) -> bytes:
    number = line["number"]
    try:
        content = _place(trial, number).read_bytes()
    except OSError:
        raise TrialError(f"sealed record {number} is not there") from None
    if _sha256(content) != line["sealed_sha256"]:
        raise TrialError(f"sealed record {number} was changed")
    try:
        padded = _SUITE.decrypt(content, key, trial.context(_question(line)))
    except InvalidTag:
        raise TrialError(f"sealed record {number} was sealed to another key or trial") from None
    return padded[_PREFIX : _PREFIX + int.from_bytes(padded[:_PREFIX], "big")]


def _padded(record: bytes) -> bytes:
    """Its length, itself, and zeros up to the next multiple."""
    framed = len(record).to_bytes(_PREFIX, "big") + record
    return framed + bytes(-len(framed) % _MULTIPLE)


def _question(line: Mapping[str, Any]) -> Question:
    return Question(line["slide"], line["question"])


def _place(trial: Trial, number: int) -> Path:
    return trial.sealed / f"{number:08d}.hpke"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(place: Path, content: bytes) -> None:
    """Whole, and for its owner alone.  Raises OutputError."""
    aside = place.with_suffix(".new")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.utime(aside, (0, 0))  # how long a slide took says how it was judged
        sync(aside)
        aside.replace(place)
        sync(place.parent)
    except OSError as error:
        raise OutputError(f"a sealed record cannot be written: {error.strerror}") from None
