"""An OpenID Connect provider: where it is, whose keys it signs with, and what it says of a person.

It is spoken to as sinks are: over verified TLS, at the hosts that it names itself, within seconds,
and never through a redirect.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from wsi_ai.delivery.messages import Endpoint, Tls
from wsi_ai.delivery.sinks.addresses import check_endpoint
from wsi_ai.delivery.sinks.http import Answer, Exchange, Request
from wsi_ai.errors import DeliveryError, SinkError, WsiAiError
from wsi_ai.schemas.reading import Unreadable, from_json
from wsi_ai.service.access.settings import LoginSettings

log = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20
_MOST_AT_ONCE = 4
_TURN_S = 1.0
_KEPT_S = 3600.0
_AGAIN_S = 30.0
"""Between two looks at its keys, whatever a token names."""
_SIGNED = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""By a key pair: what anybody could sign, or nobody has, is no token."""
_KEYS = frozenset({"RSA", "EC", "OKP"})

Claims = Mapping[str, Any]


class LoginFailed(WsiAiError):
    """Nobody was logged in; a person can be shown why.  Quotes no token and nothing of a
    person."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the provider says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None


@dataclass(slots=True)
class _Kept:
    metadata: Metadata | None = None
    keys: KeySet | None = None
    metadata_at: float = 0.0
    keys_at: float = 0.0


def _some() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(_MOST_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Provider:
    """May be used by several threads at once.  However slow it is, few of them wait for it."""

    settings: LoginSettings
    clock: Callable[[], float]
    timeout_s: float = 10.0
    """For one request."""
    _kept: _Kept = field(default_factory=_Kept, repr=False)
    _turns: threading.BoundedSemaphore = field(default_factory=_some, repr=False)

    def metadata(self) -> Metadata:
        """Asked for once an hour.  Raises LoginFailed."""
        age_s = self.clock() - self._kept.metadata_at
        if self._kept.metadata is None or not 0 <= age_s < _KEPT_S:
            self._kept.metadata, self._kept.metadata_at = self._discovered(), self.clock()
        return self._kept.metadata

    def verified(self, token: str) -> jwt.Token:
        """Of a token whose signature is the provider's; its claims are for the caller to look at.
        Raises LoginFailed."""
        try:
            return jwt.decode(token, self._keys(), _SIGNED)
        except (JoseError, ValueError):
            pass  # it may have new keys
        try:
            return jwt.decode(token, self._keys(anew=True), _SIGNED)
        except (JoseError, ValueError):
            raise LoginFailed("the provider's token is not signed with its keys") from None

    def ask(self, request: Request) -> Answer:
        """One request and its answer, whatever its status.  Raises LoginFailed."""
        host = urlsplit(request.url).hostname or ""
        endpoint = Endpoint(
            name="login",
            url=request.url,
            trusts=None,
            tls=Tls(self.settings.authority),
            timeout_s=self.timeout_s,
            allowed_hosts=frozenset({host}),
        )
        try:
            check_endpoint(endpoint, [request.url])
            with self._turn(), closing(Exchange(endpoint)) as exchange:
                exchange.begin()
                return exchange.ask(request, _MOST_BYTES)
        except (DeliveryError, SinkError) as error:
            log.warning("the login provider cannot be asked: %s", error)
            raise LoginFailed("the login provider cannot be asked now") from None

    def userinfo(self, access_token: str) -> Claims:
        """What it says of whoever the token is for; nothing where it says nothing.  Raises
        LoginFailed."""
        place = self.metadata().userinfo_endpoint
        if place is None:
            return {}
        headers = {"authorization": f"Bearer {access_token}", "accept": "application/json"}
        answer = self.ask(Request("GET", place, headers))
        if not answer.is_ok:
            raise LoginFailed("the login provider says nothing of who logged in")
        if answer.headers.get("content-type", "").startswith("application/jwt"):
            return self.verified(answer.body.decode("ascii", "replace")).claims
        return as_object(answer)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Pages need threads, too: who waits for the provider must not have them all."""
        if not self._turns.acquire(timeout=_TURN_S):
            raise LoginFailed("the login provider is slow, and others wait for it")
        try:
            yield
        finally:
            self._turns.release()

    def _discovered(self) -> Metadata:
        url = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = self._object_at(url)
        if found.get("issuer") != self.settings.issuer:
            raise LoginFailed("the login provider names another issuer than the settings do")
        places = {name: found.get(name) for name in _PLACES}
        if any(not isinstance(place, str) for name, place in places.items() if name in _NEEDED):
            raise LoginFailed("the login provider does not say where people log in")
        return Metadata(**{n: place for n, place in places.items() if isinstance(place, str)})

    def _keys(self, *, anew: bool = False) -> KeySet:
        place = self.metadata().jwks_uri
        age_s = self.clock() - self._kept.keys_at
        longest_s = _AGAIN_S if anew else _KEPT_S
        if self._kept.keys is None or not 0 <= age_s < longest_s:
            self._kept.keys, self._kept.keys_at = self._fetched_keys(place), self.clock()
        return self._kept.keys

    def _fetched_keys(self, place: str) -> KeySet:
        rows = self._object_at(place).get("keys")
        public = [row for row in rows if _is_for_signing(row)] if isinstance(rows, list) else []
        try:
            return KeySet.import_key_set({"keys": public})
        except (JoseError, ValueError, TypeError, KeyError):
            raise LoginFailed("the login provider's keys cannot be read") from None

    def _object_at(self, url: str) -> dict[str, Any]:
        answer = self.ask(Request("GET", url, {"accept": "application/json"}))
        if not answer.is_ok:
            raise LoginFailed(f"the login provider answered {answer.status}")
        return as_object(answer)


_NEEDED = "authorization_endpoint", "token_endpoint", "jwks_uri"
_PLACES = *_NEEDED, "userinfo_endpoint", "end_session_endpoint"


def as_object(answer: Answer) -> dict[str, Any]:
    """Raises LoginFailed."""
    try:
        found = from_json(answer.body)
    except Unreadable:
        found = None
    if not isinstance(found, dict):
        raise LoginFailed("the login provider's answer is none")
    return found


def form(values: Mapping[str, str]) -> bytes:
    return urlencode(values).encode()


def _is_for_signing(row: Any) -> bool:
    return isinstance(row, dict) and row.get("kty") in _KEYS and row.get("use", "sig") == "sig"
