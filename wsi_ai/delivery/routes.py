"""Where flags go: from a settings file, or from URLs on the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsi_ai import schemas
from wsi_ai.core.environment import from_environment
from wsi_ai.delivery.messages import (
    TIMEOUT_S,
    Credentials,
    DicomSettings,
    Endpoint,
    FhirSettings,
    Hl7Settings,
    OAuth,
    ReadSecret,
    Secret,
    SectraSettings,
    Shapes,
    Tls,
    Version,
    bare_name,
)
from wsi_ai.delivery.sinks.addresses import check_url
from wsi_ai.errors import SinkError
from wsi_ai.schemas.reading import Unreadable, content_of

KEY, BEARER, AUTHORITY = (
    "WSI_AI_WEBHOOK_KEY",
    "WSI_AI_WEBHOOK_BEARER",
    "WSI_AI_WEBHOOK_CA_FILE",
)
"""What an endpoint that was named by its URL alone goes by."""
_SECRET_BYTES = 1 << 16
_OWN_BEAT_S = 30.0
"""To a worklist in a database of our own, where nobody has to be asked."""


def load_endpoints(places: Sequence[str]) -> tuple[Endpoint, ...]:
    """Each place is a settings file (``schemas/sinks-1.schema.json``), ``URL`` or ``TRUST=URL``.

    Raises SinkError, which quotes no secret.
    """
    found: list[Endpoint] = []
    for place in places:
        found += _from_url(place) if "://" in place else _from_file(Path(place))
    urls = {_place(endpoint.url) for endpoint in found if endpoint.name != bare_name(endpoint.url)}
    found = [one for one in found if one.name != bare_name(one.url) or _place(one.url) not in urls]
    names = [endpoint.name for endpoint in found]
    if len(set(names)) < len(names):
        raise SinkError("two sinks have the same name")
    return tuple(found)


def _place(url: str) -> tuple[str, str | None, int | None, str]:
    """The same for every spelling of one address: capital letters in a host's name, the scheme's
    own port, nothing or a slash for the root."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    rest = parts._replace(scheme="", netloc="", path=parts.path or "/").geturl()
    return parts.scheme, parts.hostname, port, rest


def _from_url(place: str) -> list[Endpoint]:
    """A bare URL takes the flags of every trust: whoever runs the slides named it for them.

    It is named after itself, so that what waits for one URL never goes to another; where a settings
    file has a name for the same URL, it is that sink.
    """
    trust, _, rest = place.partition("=")
    trusts, url = (None, place) if "://" in trust else (frozenset({trust}), rest)
    bearer = secret_at(f"env:{BEARER}") if from_environment(BEARER) else None
    authority = from_environment(AUTHORITY)
    own = url.startswith(("worklist:", "worklist+"))
    keyless = own or url.startswith("file:")
    name = bare_name(url)
    check_url(url, f"sink {name}")
    return [
        Endpoint(
            name=name,
            url=url,
            trusts=trusts,
            credentials=Credentials(() if keyless else (secret_at(f"env:{KEY}"),), bearer),
            tls=Tls(Path(authority) if authority else None),
            allowed_hosts=_hosts(url),
            heartbeat_s=_OWN_BEAT_S if own else None,
        )
    ]


def _from_file(path: Path) -> list[Endpoint]:
    table = schemas.load_toml(path, "sinks-1", "sinks", SinkError)
    allowed = table.get("allowed_hosts")
    return [_endpoint(row, frozenset(allowed) if allowed else None) for row in table["sink"]]


def _endpoint(row: Mapping[str, Any], allowed: frozenset[str] | None) -> Endpoint:
    url, read_back = row["url"], row.get("read_back")
    for place in filter(None, (url, read_back)):
        check_url(place, f"sink {row['name']}")
    bearer, basic, token_url = (
        row.get("bearer"),
        row.get("basic"),
        row.get("oauth", {}).get("token_url"),
    )
    return Endpoint(
        name=row["name"],
        url=url,
        trusts=frozenset(row["trusts"]),
        credentials=Credentials(
            tuple(secret_at(place) for place in row.get("signing_keys", ())),
            secret_at(bearer) if bearer else None,
            _oauth(row["oauth"]) if "oauth" in row else None,
            secret_at(basic) if basic else None,
        ),
        tls=Tls(
            _path(row, "ca_file"), _path(row, "client_cert_file"), _path(row, "client_key_file")
        ),
        timeout_s=float(row.get("timeout_s", TIMEOUT_S)),
        read_back=read_back,
        allowed_hosts=_hosts(url, read_back, token_url) if allowed is None else allowed,
        fhir=FhirSettings(**row.get("fhir", {})),
        hl7=Hl7Settings(**row.get("hl7", {})),
        dicom=DicomSettings(_path(row.get("dicom", {}), "objects")),
        sectra=_sectra(row.get("sectra", {})),
        heartbeat_s=row.get("heartbeat_s"),
        version=Version(row.get("schema_version", Version.V1_1)),
    )


def _sectra(row: Mapping[str, Any]) -> SectraSettings:
    shapes = Shapes(row.get("shapes", Shapes.OUTLINES))
    return SectraSettings(**{**row, "shapes": shapes})


def _oauth(row: Mapping[str, Any]) -> OAuth:
    secret, key = row.get("client_secret"), row.get("client_key")
    return OAuth(
        client_id=row["client_id"],
        token_url=row.get("token_url"),
        secret=secret_at(secret) if secret else None,
        key=secret_at(key) if key else None,
        algorithm=row.get("algorithm", "RS384"),
        key_id=row.get("key_id"),
        scope=row.get("scope", ""),
    )


def secret_at(place: str) -> ReadSecret:
    """``file:PATH`` or ``env:NAME``; reading it raises SinkError where there is none."""
    kind, _, name = place.partition(":")
    if kind not in ("file", "env"):
        raise SinkError("a secret is named by file:PATH or env:NAME, and never given itself")
    return (lambda: _in_file(Path(name))) if kind == "file" else (lambda: _in_environment(name))


def _in_file(path: Path) -> Secret:
    try:
        return Secret(content_of(path, _SECRET_BYTES).strip())
    except OSError as error:
        raise SinkError(f"no secret: {path}: {error.strerror}") from None
    except Unreadable as error:
        raise SinkError(f"no secret: {path} {error}") from None


def _in_environment(name: str) -> Secret:
    value = from_environment(name)
    if value is None:
        raise SinkError(f"no secret: {name} is not set in the environment")
    return Secret(value.strip().encode())


def _hosts(*urls: str | None) -> frozenset[str]:
    return frozenset(host for url in urls if url and (host := urlsplit(url).hostname))


def _path(row: Mapping[str, Any], name: str) -> Path | None:
    return Path(row[name]) if name in row else None
