"""A store of objects, opened with the credentials that the environment has."""

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from wsi_ai.core.environment import from_environment, positive
from wsi_ai.errors import TransportError
from wsi_ai.slides.stores.address import ObjectAddress, is_loopback

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_SECONDS, _DEFAULT_S = "WSI_AI_STORE_SECONDS", 180.0
_CONNECT_S, _SILENT_S, _REQUEST_S = 10, 60, 900
"""Until a connection is there; without a byte; for one request, however slow."""

Store = S3Store | AzureStore | GCSStore | HTTPStore


def open_store(address: ObjectAddress) -> Store:
    """Of the address's bucket, container or host.  Opens no connection.  Raises TransportError
    where the environment asks for what is not done."""
    client, retry = _client(address), _retry()
    if address.is_web:
        url = f"{address.scheme}://{address.container}"
        return HTTPStore.from_url(url, client_options=client, retry_config=retry)
    if address.scheme == "az":
        return AzureStore(address.container, client_options=client, retry_config=retry)
    if address.scheme == "gs":
        return GCSStore(address.container, client_options=client, retry_config=retry)
    if endpoint := endpoint_of(address):
        return S3Store(
            address.container, endpoint=endpoint, client_options=client, retry_config=retry
        )
    return S3Store(address.container, client_options=client, retry_config=retry)


def endpoint_of(address: ObjectAddress) -> str:
    """Where the store is asked; empty for the scheme's own place."""
    if address.scheme == "s3":
        return from_environment("AWS_ENDPOINT_URL_S3") or from_environment("AWS_ENDPOINT_URL") or ""
    if address.scheme == "az":
        return from_environment("AZURE_STORAGE_ENDPOINT") or ""
    return ""


def _client(address: ObjectAddress) -> "ClientConfig":
    endpoint = endpoint_of(address)
    plain = endpoint.startswith("http://") or address.scheme == "http"
    host = address.container if address.is_web else urlsplit(endpoint).netloc
    if plain and not is_loopback(host):
        raise TransportError("http:// is for a store on this machine only; use https://")
    return {
        "allow_http": plain,
        "connect_timeout": timedelta(seconds=_CONNECT_S),
        "read_timeout": timedelta(seconds=_SILENT_S),
        "timeout": timedelta(seconds=_REQUEST_S),
    }


def _retry() -> "RetryConfig":
    seconds = positive(_SECONDS, _DEFAULT_S)
    return {"max_retries": 10, "retry_timeout": timedelta(seconds=seconds)}
