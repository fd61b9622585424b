"""A keyed digest over what this site wrote, so that nobody else's bytes are taken for it.

The key is the site's: 32 bytes in a file that only its owner reads.  It is made once, where
``[results] key`` of ``WSI_AI_SITE`` says, else in the site's data folder; all who work on one OUT
need the same.
"""

import errno
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsi_ai.core.environment import from_environment
from wsi_ai.errors import OutputError, PolicyError
from wsi_ai.schemas.reading import SETTINGS_BYTES, Unreadable, content_of, from_toml

_BYTES = 32


def seal(purpose: str, *parts: bytes) -> bytes:
    """HMAC-SHA256 with the site's key.  Raises OutputError where there is no key to be had."""
    return sealed_with(site_key(), purpose, *parts)


def sealed_with(key: bytes, purpose: str, *parts: bytes) -> bytes:
    """Parts are told apart: the same bytes cut in another place give another digest."""
    made = hmac.new(key, purpose.encode() + b"\0", hashlib.sha256)
    for part in parts:
        made.update(len(part).to_bytes(8, "big") + part)
    return made.digest()


def site_key() -> bytes:
    """Read, or made the first time.  Raises OutputError."""
    path = key_path()
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise OutputError(
            f"the site's key cannot be had: {path}: {error.strerror}; say in site.toml where it"
            " is to be: [results] key"
        ) from None


def key_path() -> Path:
    """Raises PolicyError where the site's settings cannot be read."""
    site = from_environment("WSI_AI_SITE")
    named = _named_key(Path(site)) if site else None
    data = Path(from_environment("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return named or data / "wsi-ai" / "results.key"


def _named_key(site: Path) -> Path | None:
    try:
        told = from_toml(content_of(site, SETTINGS_BYTES)).get("results", {})
    except OSError as error:
        raise PolicyError(f"no site settings: {site}: {error.strerror}") from None
    except Unreadable as error:
        raise PolicyError(f"{site} {error}") from None
    return site.parent / told["key"] if isinstance(told, dict) and "key" in told else None


def _make(path: Path) -> None:
    """Whole or not at all; whoever comes second takes the first one's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, secrets.token_bytes(_BYTES))
        os.fsync(handle)
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        os.close(handle)
        aside.unlink()


def _read(path: Path) -> bytes:
    with opened_file(path, os.O_RDONLY) as handle:
        if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
            raise OutputError(f"others can read or change the site's key: chmod 600 {path}")
        key = os.read(handle, _BYTES + 1)
    if len(key) != _BYTES:
        raise OutputError(f"{path} is no key of {_BYTES} bytes; keep it aside, a new one is made")
    return key


@contextmanager
def opened_file(path: Path, flags: int, mode: int = 0o644) -> Iterator[int]:
    """A handle of a regular file at this very place.  Raises OSError for a link, a pipe, a
    device."""
    handle = open_file(path, flags, mode)
    try:
        yield handle
    finally:
        os.close(handle)


def open_file(path: Path, flags: int, mode: int = 0o644) -> int:
    """The same, to be closed by the caller."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no file")
    return handle
