"""``wsi-ai sectra-app``."""

import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn

from wsi_ai.cli.output import Exit, exit_on_error, log_to, say
from wsi_ai.cli.service_arguments import SectraArguments
from wsi_ai.core.logs import LogSettings
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.posting import make_outbox
from wsi_ai.delivery.routes import load_endpoints, secret_at
from wsi_ai.delivery.sinks.addresses import is_loopback
from wsi_ai.errors import SinkError
from wsi_ai.service.opening import approved_names, open_queue
from wsi_ai.service.routing.loading import load_routing
from wsi_ai.service.sectra.app import sectra_app
from wsi_ai.service.sectra.application import Application
from wsi_ai.service.sectra.image_info import PacsSite, pacs_among


@exit_on_error
def run(
    database: str,
    send: Sequence[str],
    asked: tuple[str, Sequence[Path]],
    arguments: SectraArguments,
) -> int:
    """``asked``: the trust, and the models.  Until SIGTERM or SIGINT."""
    log_to(LogSettings(logging.WARNING))
    trust, models = asked
    secret = _secret(arguments.secret)
    _check_door(arguments, secret)
    endpoint = pacs_among(load_endpoints(send), trust, arguments.sink)
    names = approved_names(models, arguments.trusted_keys)
    routing = arguments.routing
    url = arguments.url or _own_url(arguments)
    with make_outbox(database) as outbox:
        application = Application(
            queue=open_queue(outbox.engine),
            site=PacsSite(endpoint, trust, arguments.network),
            models=names,
            url=f"{url.rstrip('/')}/{secret}",
            stains=frozenset(arguments.stain or ()),
            choose=load_routing(routing, arguments.trusted_keys).choices if routing else None,
        )
        say(f"an application of {_host(endpoint)}; stop with Ctrl-C")
        uvicorn.run(
            sectra_app(application, secret),
            host=arguments.host,
            port=arguments.port,
            log_level="warning",
            access_log=False,
            **_tls(arguments),
        )
    return Exit.OK


def _secret(place: str | None) -> str:
    """As it stands in the address."""
    if place is None:
        return ""
    secret = secret_at(place)().value.decode("ascii", "replace").strip()
    if len(secret) < 16 or not secret.replace("-", "").replace("_", "").isalnum():
        raise SinkError("the secret has at least 16 signs, of letters, digits, - and _")
    return secret


def _check_door(arguments: SectraArguments, secret: str) -> None:
    """Whoever may call can have slides fetched and judged."""
    vouched = arguments.cert is not None and (arguments.ca is not None or bool(secret))
    if not is_loopback(arguments.host) and not vouched:
        raise SinkError(
            "beyond this machine, calls are taken in TLS (--cert, --key), from a PACS that shows a"
            " certificate (--ca) or knows the secret (--secret)"
        )


def _tls(arguments: SectraArguments) -> dict[str, Any]:
    if arguments.cert is None:
        return {}
    files = {
        "ssl_certfile": str(arguments.cert),
        "ssl_keyfile": arguments.key and str(arguments.key),
    }
    if arguments.ca is None:
        return files
    return {**files, "ssl_ca_certs": str(arguments.ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}


def _own_url(arguments: SectraArguments) -> str:
    scheme = "http" if arguments.cert is None else "https"
    return f"{scheme}://{arguments.host}:{arguments.port}"


def _host(endpoint: Endpoint) -> str:
    return f"the PACS of sink {endpoint.name}"
