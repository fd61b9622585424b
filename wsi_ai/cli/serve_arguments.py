"""Options of ``wsi-ai serve``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.options import LogFile, LogFormat


@dataclass(frozen=True, slots=True)
class ServeArguments:
    """Of ``wsi-ai serve``: where it listens, and whom it lets in."""

    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8640
    url: Annotated[
        str | None,
        typer.Option(help="https://NAME by which people reach it; with --cert and --key."),
    ] = None
    behind_proxy: Annotated[
        str | None,
        typer.Option(metavar="URL", help="https://NAME of a proxy here that has the certificate."),
    ] = None
    cert: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None
    access: Annotated[
        Path | None,
        typer.Option(help="How people log in, and where each trust's slides lie (access.toml)."),
    ] = None
    receive_key: Annotated[
        list[str] | None,
        typer.Option(
            help="file:PATH or env:NAME of a key by which other machines sign flags; several."
        ),
    ] = None
    log_file: LogFile = None
    log_format: LogFormat = "text"


@dataclass(frozen=True, slots=True)
class AllArguments:
    """Of ``wsi-ai serve --all``: what its worker and its watcher need."""

    all_roles: Annotated[
        bool,
        typer.Option("--all", help="Start a worker, a watcher and a relay beside it, on this box."),
    ] = False
    out: Annotated[
        Path | None, typer.Option(help="Where results go; its disk is looked at, too.")
    ] = None
    slides: Annotated[
        list[Path] | None, typer.Option(help="A folder that slides arrive in; several at once.")
    ] = None
    trust: Annotated[
        str | None, typer.Option(help="ODS code of the trust whose slides arrive.")
    ] = None
    cases: Annotated[
        Path | None, typer.Option(help="Whose slides they are, as for wsi-ai run.")
    ] = None
    model: Annotated[
        list[Path] | None, typer.Option(help="Folder, or NAME[@VERSION]; several at once.")
    ] = None
    routing: Annotated[
        Path | None, typer.Option(help="Rules that choose the models, in place of --model.")
    ] = None
    send: Annotated[
        list[str] | None,
        typer.Option(metavar="TOML|URL|TRUST=URL", help="Where flags go beside the worklist here."),
    ] = None
    every_s: Annotated[
        float, typer.Option(min=1, max=3600, help="Between two looks into the folders.")
    ] = 5
    device: Annotated[str, typer.Option(help="As for wsi-ai run.")] = "auto"
    mpp: Annotated[
        float | None,
        typer.Option(min=0.01, max=100, help="Micrometres per pixel, where a slide does not say."),
    ] = None
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Run only models signed by this key, or one of this folder.")
    ] = None
