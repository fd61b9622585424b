"""``access.toml``: how people log in, and where the slides of each trust lie."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsi_ai import schemas
from wsi_ai.delivery.messages import ReadSecret
from wsi_ai.delivery.routes import secret_at
from wsi_ai.delivery.sinks.addresses import check_url, is_loopback
from wsi_ai.errors import InputError, SinkError
from wsi_ai.service.slide_allowance import Below, below


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSettings:
    """An OpenID Connect provider, and us as its client."""

    issuer: str
    client_id: str
    secret: ReadSecret | None = field(default=None, repr=False)
    key: ReadSecret | None = field(default=None, repr=False)
    key_id: str | None = None
    algorithm: str = "RS256"
    authentication: str = "client_secret_basic"
    scope: str = "openid profile"
    acr_values: str | None = None
    name_claim: str = "name"
    trust_claim: str | None = None
    rights_claims: tuple[str, ...] = ()
    authority: Path | None = None


@dataclass(frozen=True, slots=True)
class TrustSettings:
    network: str | None = None
    slides_below: tuple[Below, ...] = ()
    """Empty: nobody submits slides of theirs by the API."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    login: LoginSettings | None = None
    trusts: Mapping[str, TrustSettings] = field(default_factory=dict)


def load_access(path: Path) -> AccessSettings:
    """Raises InputError, which names the file and the field."""
    table = schemas.load_toml(path, "access-1", "access settings", InputError)
    login = table.get("login")
    try:
        trusts = {code: _trust(row) for code, row in table.get("trusts", {}).items()}
        return AccessSettings(_login(login, path.parent) if login else None, trusts)
    except (InputError, SinkError) as error:
        raise InputError(f"{path}: {error}") from None


def _trust(row: Mapping[str, Any]) -> TrustSettings:
    return TrustSettings(row.get("network"), tuple(map(below, row.get("slides_below", ()))))


def _login(row: Mapping[str, Any], folder: Path) -> LoginSettings:
    check_issuer(row["issuer"])
    if "client_secret" in row and "private_key" in row:
        raise InputError("login: client_secret or private_key, and not both")
    secret, key = row.get("client_secret"), row.get("private_key")
    given = {name: row[name] for name in _AS_THEY_ARE if name in row}
    return LoginSettings(
        **given,
        secret=secret_at(secret) if secret else None,
        key=secret_at(key) if key else None,
        name_claim=row.get("name", "name"),
        trust_claim=row.get("trust"),
        rights_claims=tuple(row.get("rights_from", ())),
        authority=folder / row["ca_file"] if "ca_file" in row else None,
    )


_AS_THEY_ARE = (
    "issuer", "client_id", "key_id", "algorithm", "authentication", "scope", "acr_values",
)  # fmt: skip


def check_issuer(url: str) -> None:
    """Raises InputError or SinkError."""
    check_url(url, "login.issuer")
    parts = urlsplit(url)
    here = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not here:
        raise InputError("login.issuer: https only, unless the provider is on this machine")
