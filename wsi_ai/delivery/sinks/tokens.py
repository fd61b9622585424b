"""Access tokens: one that is given, or those that an OAuth2 server gives for our credentials.

A signed assertion as client is SMART Backend Services (https://hl7.org/fhir/smart-app-launch), and
NHS England's platform takes the same with RS512.
"""

import base64
import uuid
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import quote, urlencode

import jwt

from wsi_ai.delivery.messages import Endpoint, OAuth, ReadSecret, Secret
from wsi_ai.delivery.sinks.addresses import check_endpoint
from wsi_ai.delivery.sinks.http import Answer, Exchange, Request, bearer_of, refusal
from wsi_ai.errors import Paused, SinkError, TryAgain
from wsi_ai.schemas.reading import Unreadable, from_json

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTED_S = 240
"""SMART allows five minutes."""
_MOST_ANSWER_BYTES = 1 << 16
_USUAL_LIFE_S = 300.0
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Tokens(Protocol):
    def current(self, at: datetime) -> Secret | None:
        """To be shown now; ``None`` where none is asked for.  Raises TryAgain or Paused."""
        ...

    def forget(self) -> None:
        """The one that was shown was refused: get another."""
        ...


class GivenToken:
    """Read from its file or variable; anew after a refusal."""

    def __init__(self, read: ReadSecret | None) -> None:
        self._read = read
        self._token = None if read is None else bearer_of(read())

    def current(self, at: datetime) -> Secret | None:
        if self._token is None and self._read is not None:
            try:
                self._token = bearer_of(self._read())
            except SinkError as error:
                raise Paused(str(error)) from None
        return self._token

    def forget(self) -> None:
        self._token = None


class OAuthTokens:
    """Client credentials.  A token is kept in memory until shortly before its end, nowhere else."""

    def __init__(self, endpoint: Endpoint, oauth: OAuth, exchange: Exchange, base: str) -> None:
        self._endpoint, self._oauth, self._exchange = endpoint, oauth, exchange
        self._base = base
        self._url = oauth.token_url
        self._token: Secret | None = None
        self._until: datetime | None = None
        if oauth.key is not None:
            assertion(oauth, base, 0.0)  # a wrong key is found at the start

    def current(self, at: datetime) -> Secret | None:
        if self._token is None or self._until is None or at >= self._until:
            self._fetch(at)
        return self._token

    def forget(self) -> None:
        self._token = None

    def _fetch(self, at: datetime) -> None:
        url = self._url or self._discover(at)
        try:
            request = self._request(url, at)
        except SinkError as error:
            raise Paused(str(error)) from None
        answer = self._exchange.ask(request, _MOST_ANSWER_BYTES)
        if not answer.is_ok:
            raise self._refused(answer, at)
        try:
            grant = from_json(answer.body)
            self._token = bearer_of(Secret(grant["access_token"].encode()))
            life_s = float(grant.get("expires_in", _USUAL_LIFE_S))
        except (Unreadable, KeyError, TypeError, ValueError, AttributeError, SinkError):
            raise TryAgain("the token server's answer cannot be read") from None
        early_s = min(60.0, life_s / 2)
        self._until = at + timedelta(seconds=min(max(0.0, life_s - early_s), 86_400.0))
        self._url = url

    def _refused(self, answer: Answer, at: datetime) -> Exception:
        error = refusal(answer, at)
        if isinstance(error, TryAgain):
            return error
        return Paused(f"the token server answered {answer.status}", answer.status)

    def _request(self, url: str, at: datetime) -> Request:
        """Raises SinkError where a secret is missing."""
        oauth = self._oauth
        form = {"grant_type": "client_credentials"}
        if oauth.scope:
            form["scope"] = oauth.scope
        headers = dict(FORM)
        if oauth.key is not None:
            form["client_assertion_type"] = _ASSERTION
            form["client_assertion"] = assertion(oauth, url, at.timestamp())
        elif oauth.secret is not None:
            secret = oauth.secret().value.decode("utf-8", "replace").strip()
            pair = f"{quote(oauth.client_id, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return Request("POST", url, headers, urlencode(form).encode())

    def _discover(self, at: datetime) -> str:
        place = f"{self._base}/.well-known/smart-configuration"
        answer = self._exchange.ask(
            Request("GET", place, {"Accept": "application/json"}), _MOST_ANSWER_BYTES
        )
        if not answer.is_ok:
            raise self._refused(answer, at)
        try:
            url = str(from_json(answer.body)["token_endpoint"])
            check_endpoint(self._endpoint, [url])
        except (Unreadable, KeyError, TypeError):
            raise TryAgain("the server's smart-configuration cannot be read") from None
        except SinkError as error:
            raise Paused(f"the token server that it names may not be asked: {error}") from None
        return url


def assertion(oauth: OAuth, audience: str, now_s: float) -> str:
    """Signed.  Raises SinkError where the key does not go with the algorithm."""
    claims = {
        "iss": oauth.client_id,
        "sub": oauth.client_id,
        "aud": audience,
        "jti": str(uuid.uuid4()),
        "iat": int(now_s),
        "exp": int(now_s) + _ASSERTED_S,
    }
    key = oauth.key().value if oauth.key is not None else b""
    headers = {"kid": oauth.key_id} if oauth.key_id else None
    try:
        return jwt.encode(claims, key, oauth.algorithm, headers)
    except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
        raise SinkError(f"the client's key is no private key (PEM) for {oauth.algorithm}") from None
