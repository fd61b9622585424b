"""A bundle leaves a site: the ledger has a line of it first."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from wsi_ai.errors import TrialError
from wsi_ai.trial.bundle import Audience, Running, controlled_bundle, open_bundle
from wsi_ai.trial.documents import Document, Kind, digest, sign
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sealing import Trial, entries
from wsi_ai.trial.sums import SiteSums, to_document

RELEASED = "bundle released"
_MAKE: Mapping[Audience, Callable[[SiteSums, Protocol, Running], Document]] = {
    Audience.OPEN: open_bundle,
    Audience.CONTROLLED: controlled_bundle,
}


def release(
    trial: Trial, sums: SiteSums, protocol: Protocol, audience: Audience, private_pem: bytes
) -> bytes:
    """The signed bundle.

    Two open bundles of different cases, or of a corrected reference, tell by their difference what
    neither does; so a site makes one, and the same again where it was lost.  Raises TrialError.
    """
    before = [line for line in entries(trial) if line["what"] == RELEASED]
    made_of = digest(to_document(sums))
    if audience is Audience.OPEN:
        _check_alone(before, made_of)
    last = before[-1] if before else None
    running = Running(len(before) + 1, None if last is None else last["bundle_sha256"])
    content = sign(_MAKE[audience](sums, protocol, running), Kind.BUNDLE, private_pem)
    line = {
        "what": RELEASED,
        "audience": audience.value,
        "look": sums.origin.look,
        "sums_sha256": made_of,
        "bundle_sha256": hashlib.sha256(content).hexdigest(),
    }
    trial.ledger.append([line])
    return content


def _check_alone(before: list[Mapping[str, Any]], made_of: str) -> None:
    """Raises TrialError."""
    released = {line["sums_sha256"] for line in before if line["audience"] == Audience.OPEN}
    if released - {made_of}:
        raise TrialError(
            "an open bundle of other counts has left already: the difference of two would tell"
            " what neither does"
        )
