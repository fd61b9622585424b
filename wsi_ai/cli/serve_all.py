"""``wsi-ai serve --all``: every role on one box."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

from wsi_ai.app import make_folder
from wsi_ai.cli.output import Exit, exit_on_error, log_to, say, service_logs
from wsi_ai.cli.serve_arguments import AllArguments, ServeArguments
from wsi_ai.errors import InputError
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.serving.roles import Role, Supervisor


@exit_on_error
def run(database: str, arguments: ServeArguments, more: AllArguments) -> int:
    """Until SIGTERM or SIGINT; then each role ends what it is at."""
    log_to(service_logs(arguments.log_file, arguments.log_format))
    if more.out is None or not more.slides or not more.trust:
        raise InputError("--all needs --slides FOLDER, --trust CODE and --out OUT")
    if not more.model and more.routing is None:
        raise InputError("which model judges the slides? --model or --routing")
    if more.cases is None:
        say("whose slides they are is known by DICOM headers only: give --cases for all others")
    make_folder(more.out)
    open_service_database(database).dispose()  # once, before four ask for it
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Supervisor(list(_roles(database, arguments, more))).run(stop)
    return Exit.OK


def _roles(database: str, arguments: ServeArguments, more: AllArguments) -> Iterator[Role]:
    here = ("--outbox", database)
    sinks = _options("--send", [_worklist(database), *(more.send or ())])
    chosen = (*_options("--model", more.model), *_options("--routing", more.routing))
    keys = _options("--trusted-keys", more.trusted_keys)
    out = ("--out", str(more.out))
    logs = (*_options("--log-file", arguments.log_file), "--log-format", arguments.log_format)
    yield Role("serve", ("serve", *here, *_served(arguments), *out, *chosen, *keys, *logs))
    work = ("--device", more.device, *_options("--mpp", more.mpp), *keys)
    yield Role("work", ("work", *here, *sinks, *out, *work))
    whose = ("--trust", str(more.trust), *_options("--cases", more.cases))
    looks = ("--every-s", str(more.every_s))
    folders = tuple(map(str, more.slides or ()))
    yield Role("watch", ("watch", *folders, *here, *whose, *chosen, *keys, *looks))
    yield Role("relay", ("relay", *here, *sinks, *logs))


def _served(arguments: ServeArguments) -> tuple[str, ...]:
    return (
        "--host", arguments.host, "--port", str(arguments.port),
        *_options("--url", arguments.url), *_options("--behind-proxy", arguments.behind_proxy),
        *_options("--cert", arguments.cert), *_options("--key", arguments.key),
        *_options("--access", arguments.access),
        *_options("--receive-key", arguments.receive_key),
    )  # fmt: skip


def _options(name: str, value: object) -> tuple[str, ...]:
    """Once for each value; of none, nothing."""
    values = value if isinstance(value, list) else [value]
    return tuple(word for one in values if one is not None for word in (name, str(one)))


def _worklist(database: str) -> str:
    """The sink that is the list of this very database."""
    if "://" not in database:
        return f"worklist://{Path(database).resolve()}"
    url = make_url(database)
    if url.get_backend_name() == "sqlite":
        return f"worklist://{Path(url.database or '').resolve()}"
    return f"worklist+{database}"
