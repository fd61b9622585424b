"""Headers by which a browser keeps to itself what it is shown."""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

UNLESS_SET: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' data: blob:; font-src 'self'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
"""``same-origin`` for referrers, and no less: with ``no-referrer`` a form's ``Origin`` is ``null``,
and we could not tell our own page's."""
OVER_TLS: Mapping[str, str] = {"strict-transport-security": "max-age=31536000"}


def with_headers(send: Send, always: Mapping[str, str] | None = None) -> Send:
    """Adds those that a response lacks, and ``always`` beside what it has."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            for name, value in UNLESS_SET.items():
                headers.setdefault(name, value)
            for name, value in (always or {}).items():
                headers.append(name, value)
            message = {**message, "headers": headers.raw}
        await send(message)

    return sending
