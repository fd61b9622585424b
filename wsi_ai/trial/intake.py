"""Bundles come to the region: those that hold, and those that are left out by name."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsi_ai.errors import TrialError
from wsi_ai.trial.bundle import Bundle, levels_of, signed_document
from wsi_ai.trial.disclosure.site import unexpected_entry
from wsi_ai.trial.documents import Document, key_sha256
from wsi_ai.trial.protocol import Protocol


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A bundle that is no part of the pool."""

    name: str
    """Of the file."""
    why: str


@dataclass(frozen=True, slots=True)
class Intake:
    """Every bundle that came, once."""

    accepted: tuple[Bundle, ...]
    """In the order of sites."""
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """What the region holds bundles against."""

    protocol: Protocol
    keys: Sequence[bytes]
    """Public keys of sites, in PEM."""
    look: int
    seen: Mapping[str, int]
    """The highest number of each site's bundles that was pooled at an earlier time."""
    released: Mapping[str, str] | None = None
    """The reference of each site for which its key was released; ``None``: nobody says."""


def take_in(files: Mapping[str, bytes], door: Door) -> Intake:
    """By file name.  Nothing that is wrong with one bundle touches another site's."""
    left_out: list[LeftOut] = []
    of_site: dict[str, list[tuple[str, Bundle]]] = defaultdict(list)
    for name, content in files.items():
        try:
            bundle = _checked(content, door)
        except TrialError as error:
            left_out.append(LeftOut(name, str(error)))
        else:
            of_site[bundle.site].append((name, bundle))
    accepted = []
    for _, bundles in sorted(of_site.items()):
        kept, others = _one_of(bundles)
        accepted += kept
        left_out += others
    return Intake(tuple(accepted), tuple(left_out))


def _checked(content: bytes, door: Door) -> Bundle:
    """Raises TrialError, which says why the bundle is left out."""
    document = signed_document(content, door.keys)
    bundle = Bundle(document, hashlib.sha256(content).hexdigest())
    if document["protocol_sha256"] != door.protocol.sha256:
        raise TrialError(f"of another protocol: {document['protocol_sha256'][:4]}…")
    _check_signer(content, document, door)
    if bundle.look != door.look:
        raise TrialError(f"replayed: of look {bundle.look}, and look {door.look} is pooled")
    if bundle.number < door.seen.get(bundle.site, 0):
        raise TrialError("replayed: a later bundle of this site was pooled before")
    _check_lock(document, door)
    if bundle.shown is not None:
        wrong = unexpected_entry(
            bundle.shown, levels_of(door.protocol), door.protocol.small_numbers
        )
        if wrong is not None:
            raise TrialError(wrong)
    return bundle


def _check_signer(content: bytes, document: Document, door: Door) -> None:
    """A site speaks for itself only.  Raises TrialError."""
    wanted = door.protocol.site(document["site"])["key_sha256"]
    own = [pem for pem in door.keys if key_sha256(pem) == wanted]
    try:
        signed_document(content, own)
    except TrialError:
        raise TrialError("signed by another key than the protocol has for this site") from None


def _check_lock(document: Document, door: Door) -> None:
    """A correction has another lock than the one that opened the flags, and says so.  Raises
    TrialError."""
    if door.released is None:
        return
    released = door.released.get(document["site"])
    if released is None:
        raise TrialError("no key was released for this site, and it has read its flags")
    if document["locks"] == 1 and document["lock_sha256"] != released:
        raise TrialError("its reference is not the one for which its key was released")


def _one_of(
    bundles: Sequence[tuple[str, Bundle]],
) -> tuple[list[Bundle], list[LeftOut]]:
    """Of one site's: the last, where each names the one before it; else none."""
    by_number = sorted(bundles, key=lambda named: named[1].number)
    distinct: list[tuple[str, Bundle]] = []
    left_out = []
    for name, bundle in by_number:
        if bundle.sha256 in {other.sha256 for _, other in distinct}:
            left_out.append(LeftOut(name, "the same bundle twice"))
        else:
            distinct.append((name, bundle))
    numbers = [bundle.number for _, bundle in distinct]
    chained = all(
        later.number != earlier.number + 1 or later.document["previous"] == earlier.sha256
        for (_, earlier), (_, later) in itertools.pairwise(distinct)
    )
    if len(set(numbers)) != len(numbers) or not chained:
        why = "two bundles of one site that do not follow each other: none is pooled"
        return [], [*left_out, *(LeftOut(name, why) for name, _ in distinct)]
    why = "replaced by a later bundle of this site"
    return [distinct[-1][1]], [*left_out, *(LeftOut(name, why) for name, _ in distinct[:-1])]
