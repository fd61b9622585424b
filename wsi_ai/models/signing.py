"""Who approved a model: signatures over all of its files, by OpenSSF model-signing with keys of
one's own; no network, no authority."""

import base64
import json
import re
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from wsi_ai.core.plugins import from_extra
from wsi_ai.core.regular_file import read_regular
from wsi_ai.errors import ModelError, OutputError

SIGNATURE = "model.sig"
"""Beside the card: a Sigstore bundle around an in-toto statement with each file's SHA-256."""
_MOST = 1 << 24


def sign(model: Path, key: Path) -> Path:
    """Sign a model's folder with a private key (PEM, NIST P-256, P-384 or P-521)."""
    place = model / SIGNATURE
    try:
        signer = _library("signing").Config().use_elliptic_key_signer(private_key=key)
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{key.name} is no private key that signs: {_error_line(error)}") from None
    try:
        signer.set_hashing_config(_hashing()).sign(model, place)
    except OSError as error:
        raise OutputError(f"{SIGNATURE} cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise ModelError(f"the model cannot be signed: {_error_line(error)}") from None
    return place


def check_signature(model: Path, keys: Sequence[Path]) -> Path:
    """Which of the public keys signed the model's files as they are now.

    Raises ModelError: not signed, signed by another key, or changed since.
    """
    return _checked(model, keys)[0]


def signed_files(model: Path, keys: Sequence[Path]) -> dict[str, str]:
    """What was signed, once that holds: SHA-256 in hex by name.  Whoever reads one of the files
    later can tell by it that it still is what was signed.  Raises ModelError as above."""
    _, bundle = _checked(model, keys)
    try:
        statement = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
        resources = statement["predicate"]["resources"]
        return {str(part["name"]): str(part["digest"]) for part in resources}
    except (KeyError, TypeError, ValueError):
        raise ModelError(f"{SIGNATURE} cannot be read; sign the model again") from None


def _checked(model: Path, keys: Sequence[Path]) -> tuple[Path, bytes]:
    """The key, and the signature that it fits: read once."""
    if not keys:
        raise ModelError("no trusted key is there: put public keys (.pem) into the folder")
    try:
        bundle = read_regular(model / SIGNATURE, _MOST)
    except FileNotFoundError:
        raise ModelError(
            f"the model is not signed: it has no {SIGNATURE}; only signed models are run here"
        ) from None
    except OSError as error:
        raise ModelError(f"{SIGNATURE} cannot be read: {error.strerror}") from None
    with tempfile.TemporaryDirectory(prefix="wsi-ai-") as private:
        copy = Path(private, SIGNATURE)
        copy.write_bytes(bundle)
        for key in keys:
            if _accepts(model, copy, key):
                return key, bundle
    raise ModelError(
        f"the model is signed by another key, not by {' or '.join(key.name for key in keys)}"
    )


def keys_in(place: Path) -> list[Path]:
    """Public keys: a file, or all ``.pem`` files of a folder.  Raises ModelError."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ModelError(f"trusted keys: {place.name}: no such file or folder")
    return sorted(place.glob("*.pem"))


def _accepts(model: Path, signature: Path, key: Path) -> bool:
    """False where another key signed it.  Raises ModelError where what was signed is not there."""
    try:
        verifier = _library("verifying").Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{key.name} is no public key: {_error_line(error)}") from None
    refused = import_module("cryptography.exceptions").InvalidSignature
    try:
        verifier.set_hashing_config(_hashing()).verify(model, signature)
    except refused:
        raise ModelError(f"{SIGNATURE} was changed: it fits no key") from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        if "Key mismatch" in str(error):
            return False
        if "Signature mismatch" not in str(error):
            raise ModelError(f"{SIGNATURE} cannot be read; sign the model again") from None
        raise ModelError(f"the model is not what was signed: {_error_line(error)}") from None
    return True


def _hashing() -> Any:
    """Every file counts, those too that the library would leave out."""
    config = _library("hashing").Config()
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _error_line(error: Exception) -> str:
    """In one line; of a mismatch, the first file."""
    said = " ".join(str(error).split())
    changed = re.search(r"Hash mismatch for \\?'([^'\\]+)", said)  # of a list, with its escapes
    other = re.search(r"(Missing|Extra) files[^:]*: ([^,\"\]]+)", said)
    if changed:
        return f"{changed[1]} was changed"
    if other:
        return f"{other[2].strip(chr(39))} {'is missing' if other[1] == 'Missing' else 'was added'}"
    return said or type(error).__name__


def _library(part: str) -> Any:
    return from_extra(f"model_signing.{part}", "signing", ModelError)
