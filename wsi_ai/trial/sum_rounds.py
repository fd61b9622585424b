"""Sums over sites of which nobody sees a part: what a site sends, and what the region adds up.

The protocol names each site's key (``sum_public``) and asks for it (``sharing.secure_sum``).  A
round is bound to protocol, look, sites and columns; a site takes part with one vector, and its
ledger has a line of it.  Where a site drops out the others hold one more round without it, and no
third: whoever has the sums of both rounds has that site's numbers, so people agree on it first.
The sum goes through the door like any other count.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from wsi_ai import schemas
from wsi_ai.errors import TrialError
from wsi_ai.trial.bundle import check_sums, levels_of, with_all_levels
from wsi_ai.trial.disclosure.door import publish_counts, publish_share
from wsi_ai.trial.disclosure.published import Published
from wsi_ai.trial.disclosure.secure_sum import Masked, NotASum, Round, add_up, masked
from wsi_ai.trial.disclosure.site import (
    FALSE_POSITIVES,
    SENSITIVITY,
    Entries,
    empty_like,
    name_of,
    system,
)
from wsi_ai.trial.disclosure.tables import Breakdown, Key, System
from wsi_ai.trial.documents import Document, Kind, digest, key_sha256, sign, verified
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sealing import Trial, entries
from wsi_ai.trial.sums import SiteSums, to_document

SCHEMA = "trial-part-1"
PART = "part of a sum sent"


def round_of(protocol: Protocol, look: int, without: Sequence[str] = ()) -> Round:
    """The first is of all sites; the second without those that dropped out.  Raises TrialError."""
    if not protocol.document["sharing"].get("secure_sum"):
        raise TrialError("the protocol asks for no sum of which nobody sees a part")
    sites = [site for site in protocol.document["site"] if site["ods"] not in without]
    if any("sum_public" not in site for site in sites):
        raise TrialError("the protocol has no sum_public of each site")
    keys = tuple(sorted(bytes.fromhex(site["sum_public"]) for site in sites))
    occasion = f"{protocol.sha256}/{look}/{2 if without else 1}"
    try:
        return Round(keys, columns(protocol), occasion)
    except ValueError as error:
        raise TrialError(f"this is no round: {error}") from None


def columns(protocol: Protocol) -> tuple[str, ...]:
    """Cells, and no totals: these follow."""
    return tuple(map(name_of, _cells(empty_like(levels_of(protocol)))))


def make_part(
    trial: Trial,
    sums: SiteSums,
    protocol: Protocol,
    without: Sequence[str],
    keys: tuple[bytes, bytes],
) -> bytes:
    """This site's part, signed; ``keys`` are its own of ``sum_public`` and the one that signs.

    Raises TrialError where it sent another vector in this round, or in two rounds before.
    """
    check_sums(sums, protocol)
    whole = with_all_levels(sums, protocol)
    held = round_of(protocol, sums.origin.look, without)
    line = {
        "what": PART,
        "round_sha256": held.digest.hex(),
        "occasion": held.occasion,
        "sums_sha256": digest(to_document(whole)),
    }
    sent = [before for before in entries(trial) if before["what"] == PART]
    _check_sent(sent, line)
    counts = _counts(system(whole))
    numbers = masked(counts, X25519PrivateKey.from_private_bytes(keys[0]), held)
    document = {
        "schema": SCHEMA,
        "protocol_sha256": protocol.sha256,
        "site": sums.origin.site,
        "round_sha256": held.digest.hex(),
        "numbers": [f"{int(number):016x}" for number in numbers],
    }
    content = sign(document, Kind.PART, keys[1])
    if line["round_sha256"] not in {before["round_sha256"] for before in sent}:
        trial.ledger.append([line])
    return content


def _check_sent(sent: Sequence[Mapping[str, Any]], line: Mapping[str, Any]) -> None:
    """One vector a round, one round an occasion: a difference of two is a site's numbers."""
    if any(before["sums_sha256"] != line["sums_sha256"] for before in sent):
        raise TrialError("this site sent a part of other counts: their difference would show")
    for before in sent:
        if before["occasion"] == line["occasion"]:
            if before["round_sha256"] != line["round_sha256"]:
                raise TrialError("this round was held with other sites already")
            return


def add_parts(
    parts: Sequence[bytes], protocol: Protocol, public_pems: Sequence[bytes], without: Sequence[str]
) -> Entries:
    """Through the door.  Raises TrialError where a part is missing, twice, or of another round."""
    look = max(1, len(protocol.document.get("look", [])))
    held = round_of(protocol, look, without)
    found: dict[bytes, Masked] = {}
    for content in parts:
        document = _checked(content, protocol, public_pems)
        if document["round_sha256"] != held.digest.hex():
            raise TrialError(f"the part of {document['site']} is of another round")
        key = bytes.fromhex(protocol.site(document["site"])["sum_public"])
        if key in found:
            raise TrialError(f"there are two parts of {document['site']}")
        numbers = [int(number, 16) for number in document["numbers"]]
        found[key] = np.array(numbers, np.uint64)
    try:
        total = add_up(found, held)
    except NotASum as error:
        raise TrialError(str(error)) from None
    return _published(_system_of(total, protocol), protocol)


def _checked(content: bytes, protocol: Protocol, public_pems: Sequence[bytes]) -> Document:
    document = verified(content, Kind.PART, public_pems)
    if wrong := schemas.complaint(SCHEMA, document):
        raise TrialError(f"it is no part of a sum: {wrong}")
    wanted = protocol.site(document["site"])["key_sha256"]
    verified(content, Kind.PART, [pem for pem in public_pems if key_sha256(pem) == wanted])
    return document


def _cells(whole: System) -> list[Key]:
    return [key for key in whole.keys if None not in key.places]


def _counts(whole: System) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([whole.values[whole.number[key]] for key in _cells(whole)], np.int64)


def _system_of(total: np.ndarray[Any, np.dtype[np.int64]], protocol: Protocol) -> System:
    """Raises TrialError where the sites' tables do not add up together."""
    empty = empty_like(levels_of(protocol))
    size, at = empty.overall.size, empty.overall.size
    breakdowns = []
    for one in empty.breakdowns:
        cells = total[at : at + size * len(one.levels)]
        breakdowns.append(Breakdown(one.name, one.levels, cells.reshape(one.counts.shape)))
        at += len(cells)
    try:
        return System(total[:size].reshape(empty.overall.shape), tuple(breakdowns))
    except ValueError:
        raise TrialError("the sum does not add up: a site sent something else") from None


def _published(whole: System, protocol: Protocol) -> Entries:
    counts = publish_counts(whole, protocol.small_numbers).counts
    found: dict[str, Published] = {name_of(key): count for key, count in counts.items()}
    for name, truth in ((SENSITIVITY, 0), (FALSE_POSITIVES, 1)):
        found[name] = publish_share(counts[Key((0, truth))], counts[Key((None, truth))])
    return found
