"""A site's folder of one trial: which protocol it is of, who signed that, and what was done.

``protocol.dsse`` is what was signed, ``trusted-keys.pem`` who may have, ``ledger.jsonl`` every step
since.  The ledger's first line names the protocol, so another one put in its place is found.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wsi_ai.core.files import write_whole
from wsi_ai.core.regular_file import read_regular
from wsi_ai.core.software import software
from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.audit import Audit
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.trial.documents import Kind, key_sha256, verified
from wsi_ai.trial.protocol import Protocol
from wsi_ai.trial.sealing import Trial, entries

MOST_BYTES = 1 << 20
JOINED = "joined"
_PROTOCOL, _TRUSTED, _LEDGER = "protocol.dsse", "trusted-keys.pem", "ledger.jsonl"
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SiteFolder:
    """What was joined, and holds."""

    trial: Trial
    protocol: Protocol
    trusted: tuple[bytes, ...]
    """Public keys of those who sign protocols and releases."""
    key: Path
    """The site's private key."""

    @property
    def public_key(self) -> bytes:
        """Flags are sealed to it."""
        return bytes.fromhex(self.protocol.site(self.trial.site)["unseal_public"])

    @property
    def path(self) -> Path:
        return self.trial.folder


def now() -> str:
    """As the ledger's lines say it: the hour, for how long a slide took says how it was judged."""
    return timestamp(datetime.now(UTC).replace(minute=0, second=0, microsecond=0))


def content_of(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Raises TrialError, which names the file."""
    try:
        return read_regular(path, most_bytes)
    except OSError:
        raise TrialError(f"{path.name} cannot be read") from None


def join_trial(
    signed: Path, trusted_keys: Sequence[Path], ods: str, key: Path, folder: Path
) -> SiteFolder:
    """Make the folder, where the protocol is signed and names this site with this key.

    Joining the same protocol again changes nothing.  Raises TrialError or OutputError.
    """
    content, trusted = content_of(signed), [content_of(path) for path in trusted_keys]
    protocol = Protocol(verified(content, Kind.PROTOCOL, trusted))
    if protocol.site(ods)["key_sha256"] != key_sha256(content_of(key)):
        raise TrialError(f"the protocol names another key for {ods}")
    if (folder / _LEDGER).exists():
        return _joined_before(folder, protocol, ods)
    line = {"what": JOINED, "protocol_sha256": protocol.sha256, "site": ods}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / _PROTOCOL, content)
        write_whole(folder / _TRUSTED, b"".join(trusted))
        ledger = Audit(folder / _LEDGER, now)
        ledger.append([{**line, "key": str(key.absolute()), "software": software()}])
        ledger.path.chmod(0o600)
    except OSError as error:
        raise OutputError(f"the trial's folder cannot be written: {error.strerror}") from None
    return open_folder(folder)


def _joined_before(folder: Path, protocol: Protocol, ods: str) -> SiteFolder:
    found = open_folder(folder)
    if (found.protocol.sha256, found.trial.site) != (protocol.sha256, ods):
        raise TrialError(
            "the folder is of another protocol or site; a new version has a folder of its own, and"
            " its results are reported apart"
        )
    return found


def open_folder(folder: Path) -> SiteFolder:
    """Raises TrialError where it is none, or the protocol is not the one that was joined."""
    if not (folder / _LEDGER).is_file():
        raise TrialError("there is no trial in this folder: wsi-ai trial join makes one")
    ledger = Audit(folder / _LEDGER, now)
    lines = entries(Trial(folder, "", "", ledger))
    if not lines or lines[0]["what"] != JOINED:
        raise TrialError("the ledger does not begin with joining the trial")
    trusted = tuple(_PEM.findall(content_of(folder / _TRUSTED)))
    protocol = Protocol(verified(content_of(folder / _PROTOCOL), Kind.PROTOCOL, trusted))
    if protocol.sha256 != lines[0]["protocol_sha256"]:
        raise TrialError(
            "protocol.dsse is not the protocol that was joined: a new version is another trial's"
            " folder"
        )
    trial = Trial(folder, protocol.sha256, lines[0]["site"], ledger)
    return SiteFolder(trial, protocol, trusted, Path(lines[0]["key"]))
