"""The code flow of OpenID Connect with PKCE: from an address that a browser is sent to, to a
person.

What belongs to one login (state, nonce, verifier) is made of one secret that the browser keeps in
a cookie: an answer of the provider counts in that browser only, and nothing is kept here.
"""

import hashlib
import hmac
import logging
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from wsi_ai.core.printable import printable
from wsi_ai.delivery.sinks.http import Answer, Request
from wsi_ai.errors import SinkError
from wsi_ai.service.access.names import LONGEST, is_line, new_secret
from wsi_ai.service.access.provider import LoginFailed, Provider, as_object, form
from wsi_ai.service.access.sessions import Person
from wsi_ai.service.access.settings import LoginSettings

log = logging.getLogger(__name__)

_SKEW_S = 60
_MOST_CLAIMS = 200
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login: of one tab, in the browser that has the secret.  Several may go on at once."""

    secret: str = field(repr=False)
    salt: str
    wanted: str
    """The page that they came for."""

    @property
    def state(self) -> str:
        """What comes back, and only this browser's is right."""
        return f"{self.salt}.{_b64(self.wanted.encode())}.{self._for('state')}"

    @property
    def nonce(self) -> str:
        return self._for("nonce")

    @property
    def verifier(self) -> str:
        return self._for("verifier")

    def _for(self, purpose: str) -> str:
        said = f"{purpose} {self.salt} {self.wanted}".encode()
        return _b64(hmac.new(self.secret.encode(), said, hashlib.sha256).digest())


def begun(secret: str, wanted: str) -> Attempt:
    return Attempt(secret, new_secret(), wanted)


def come_back(secret: str, state: str) -> Attempt:
    """Raises LoginFailed where this browser did not begin it."""
    parts = state.split(".")
    try:
        salt, wanted, _ = parts
        attempt = Attempt(
            secret, salt, urlsafe_b64decode(wanted + "=" * (-len(wanted) % 4)).decode()
        )
    except ValueError:
        attempt = None
    known = attempt is not None and hmac.compare_digest(state.encode(), attempt.state.encode())
    if attempt is None or not secret or not known:
        raise LoginFailed("this login was not begun in this browser, or took too long")
    return attempt


def _b64(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Login:
    provider: Provider
    callback: str
    """Our address that the provider sends people back to, as it is registered there."""

    def address(self, attempt: Attempt) -> str:
        """Where the browser goes.  Raises LoginFailed."""
        more = {"nonce": attempt.nonce, "code_verifier": attempt.verifier}
        if (acr := self.provider.settings.acr_values) is not None:
            more["acr_values"] = acr
        place = self.provider.metadata().authorization_endpoint
        url, _ = self._client().create_authorization_url(place, state=attempt.state, **more)
        return str(url)

    def person(self, attempt: Attempt, code: str) -> Person:
        """Who came back with that code.  Raises LoginFailed."""
        given = self._tokens(attempt, code)
        id_token, access_token = given.get("id_token"), given.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise LoginFailed("the login provider gave no token of a person")
        token = self.provider.verified(id_token)
        claims = self._checked(token.header, token.claims, attempt, access_token)
        more = self.provider.userinfo(access_token)
        if more and more.get("sub") != claims["sub"]:
            raise LoginFailed("the login provider speaks of somebody else")
        return person_of({**more, **claims}, self.provider.settings)

    def _tokens(self, attempt: Attempt, code: str) -> Mapping[str, Any]:
        place = self.provider.metadata().token_endpoint
        try:
            found: Mapping[str, Any] = self._client().fetch_token(
                place,
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
                redirect_uri=self.callback,
            )
        except (AuthlibBaseError, JoseError, ValueError):
            raise LoginFailed("the login provider did not take our word for this login") from None
        return found

    def _checked(
        self, header: Any, claims: Mapping[str, Any], attempt: Attempt, access_token: str
    ) -> Mapping[str, Any]:
        """As OpenID Connect Core 3.1.3.7 has it."""
        ours = self.provider.settings
        options = {
            "iss": {"essential": True, "value": ours.issuer},
            "aud": {"essential": True, "value": ours.client_id},
        }
        params = {
            "nonce": attempt.nonce,
            "client_id": ours.client_id,
            "access_token": access_token,
        }
        token = CodeIDToken(dict(claims), header, options, params)
        try:
            token.validate(now=int(self.provider.clock()), leeway=_SKEW_S)
        except (JoseError, ValueError, TypeError):
            raise LoginFailed("the login provider's token is not for this login") from None
        return claims

    def _client(self) -> OAuth2Client:
        ours = self.provider.settings
        secret, method = _credentials(ours)
        client = OAuth2Client(
            _Session(self.provider),
            client_id=ours.client_id,
            client_secret=secret,
            token_endpoint_auth_method=method,
            scope=ours.scope,
            redirect_uri=self.callback,
            code_challenge_method="S256",
        )
        header = {"kid": ours.key_id} if ours.key_id else None
        client.register_client_auth_method(("client_secret_basic", _basic))
        client.register_client_auth_method(PrivateKeyJWT(headers=header, alg=ours.algorithm))
        return client


def _credentials(ours: LoginSettings) -> tuple[Any, str]:
    """Raises LoginFailed."""
    try:
        if ours.key is not None:
            kind = ECKey if ours.algorithm.startswith("ES") else RSAKey
            return kind.import_key(ours.key().value), PrivateKeyJWT.name
        if ours.secret is not None:
            return ours.secret().value.decode(), ours.authentication
    except (SinkError, JoseError, ValueError):
        raise LoginFailed("our secret for the login provider cannot be read") from None
    return None, "none"


def _basic(auth: Any, method: str, uri: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
    """Both parts encoded as RFC 6749 (2.3.1) asks: a secret may have a colon or a percent sign."""
    pair = ":".join(quote(part, safe="") for part in (auth.client_id, auth.client_secret))
    return uri, {**headers, "Authorization": f"Basic {b64encode(pair.encode()).decode()}"}, body


@dataclass(frozen=True, slots=True)
class _Session:
    """What Authlib takes for a library of HTTP."""

    provider: Provider

    def post(self, url: str, data: Mapping[str, str], headers: Any, auth: Any) -> "_Answered":
        body = form(data).decode()
        url, headers, body = auth.prepare("POST", url, dict(headers), body)
        return _Answered(self.provider.ask(Request("POST", url, headers, body.encode())))


@dataclass(frozen=True, slots=True)
class _Answered:
    answer: Answer

    @property
    def status_code(self) -> int:
        return self.answer.status

    def json(self) -> dict[str, Any]:
        return as_object(self.answer)

    def raise_for_status(self) -> None:
        if not self.answer.is_ok:
            raise LoginFailed(f"the login provider answered {self.answer.status}")


def person_of(claims: Mapping[str, Any], ours: LoginSettings) -> Person:
    """What of the claims is kept: who it is, and those that rights may be given to.  Raises
    LoginFailed."""
    sub = claims.get("sub")
    if not isinstance(sub, str) or not is_line(subject := f"subject:{sub}"):
        raise LoginFailed("the login provider does not say who logged in")
    if left_out := set(ours.rights_claims) & {*claims.get("_claim_names", ()), *_too_many(claims)}:
        log.warning("the login provider leaves out %s: too many; use roles", ", ".join(left_out))
    names = [*values_at(claims, ours.name_claim), *values_at(claims, "preferred_username"), sub]
    trusts = set(values_at(claims, ours.trust_claim)) if ours.trust_claim else set()
    kept = [
        f"{claim}={value}"
        for claim in ours.rights_claims
        for value in dict.fromkeys(values_at(claims, claim))
    ]
    return Person(
        subject=subject,
        name=printable(names[0])[:_LONGEST_NAME],
        trust=trusts.pop() if len(trusts) == 1 else None,
        claims=tuple(one for one in kept if len(f"claim:{one}") <= LONGEST)[:_MOST_CLAIMS],
    )


def _too_many(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """As Entra ID says it of somebody who is in very many groups."""
    return ("groups",) if claims.get("hasgroups") else ()


def values_at(claims: Mapping[str, Any], path: str) -> list[str]:
    """All texts at a claim, whose name may have dots in it or lead by them into objects and
    lists."""
    if path in claims:
        return list(_texts(claims[path], ()))
    return list(_texts(claims, tuple(path.split("."))))


def _texts(value: Any, way: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _texts(one, way)
    elif way:
        if isinstance(value, Mapping) and way[0] in value:
            yield from _texts(value[way[0]], way[1:])
    elif isinstance(value, str) and is_line(value):
        yield value
