"""Options of the service's commands."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.delivery import AuditFile
from wsi_ai.cli.commands.options import finite


@dataclass(frozen=True, slots=True)
class WorkArguments:
    """Of ``wsi-ai work``."""

    device: Annotated[
        str, typer.Option(help="auto, cpu, openvino, cuda, cuda:1: as for wsi-ai run.")
    ] = "auto"
    cluster: Annotated[
        str,
        typer.Option(
            metavar="tls://HOST:PORT|local:N|MODULE:FACTORY",
            help="Run the jobs on a Dask cluster's workers: docs/scaling.md.",
        ),
    ] = ""
    at_once: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Jobs at once on a cluster; default: two a worker at the start."
        ),
    ] = None
    policy: Annotated[
        Path | None, typer.Option(help="Triage policy in TOML, in place of the model's own.")
    ] = None
    mpp: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=100,
            callback=finite,
            help="Micrometres per pixel, where a slide does not say.",
        ),
    ] = None
    quiet_s: Annotated[
        float, typer.Option(min=0, max=3600, help="A file is judged once it is left alone.")
    ] = 5
    patience_minutes: Annotated[
        float,
        typer.Option(
            min=0, max=100_000, callback=finite, help="Until a slide that is not there is given up."
        ),
    ] = 60
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Run only models signed by this key, or one of this folder.")
    ] = None
    audit_file: AuditFile = None


@dataclass(frozen=True, slots=True)
class ListenArguments:
    """Of ``wsi-ai listen``."""

    routing: Annotated[
        Path | None,
        typer.Option(help="Rules that choose the models (routing.toml), in place of --model."),
    ] = None
    network: Annotated[str | None, typer.Option(help="The trust's network.")] = None
    issuer: Annotated[str | None, typer.Option(help="Who issues accessions and slide ids.")] = None
    host: Annotated[str, typer.Option()] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535)] = 2575
    cert: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None
    ca: Annotated[
        Path | None, typer.Option(help="Whose certificates peers have to show (PEM).")
    ] = None
    peer: Annotated[
        list[str] | None,
        typer.Option(help="A name in a peer's certificate; several at once. Left out: all."),
    ] = None
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Queue only for models signed by this key.")
    ] = None
    audit_file: AuditFile = None


@dataclass(frozen=True, slots=True)
class SectraArguments:
    """Of ``wsi-ai sectra-app``."""

    routing: Annotated[
        Path | None,
        typer.Option(
            help="Rules that choose the models of announced images; who asks gets --model."
        ),
    ] = None
    sink: Annotated[
        str | None, typer.Option(help="The PACS's name among the sinks, where there are several.")
    ] = None
    network: Annotated[str | None, typer.Option(help="The trust's network.")] = None
    stain: Annotated[
        list[str] | None,
        typer.Option(
            help="Queue only images of this stain, as the PACS names it; several at once."
        ),
    ] = None
    host: Annotated[str, typer.Option()] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8700
    url: Annotated[
        str | None, typer.Option(help="Our address as the PACS reaches it, behind a proxy.")
    ] = None
    cert: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None
    ca: Annotated[
        Path | None, typer.Option(help="Whose certificate the PACS has to show (PEM).")
    ] = None
    secret: Annotated[
        str | None,
        typer.Option(help="file:PATH or env:NAME: the last part of the address to register."),
    ] = None
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Queue only for models signed by this key.")
    ] = None


@dataclass(frozen=True, slots=True)
class WatchArguments:
    """Of ``wsi-ai watch``."""

    model: Annotated[
        list[Path] | None, typer.Option(help="Folder, or NAME[@VERSION]; several at once.")
    ] = None
    routing: Annotated[
        Path | None, typer.Option(help="In place of --model: which model judges which slide.")
    ] = None
    cases: Annotated[
        Path | None, typer.Option(help="Whose slides they are, as for wsi-ai run.")
    ] = None
    network: Annotated[str | None, typer.Option(help="The trust's network.")] = None
    every_s: Annotated[
        float, typer.Option(min=1, max=3600, callback=finite, help="Between two looks.")
    ] = 15
    patience_minutes: Annotated[
        float,
        typer.Option(
            min=0,
            max=100_000,
            callback=finite,
            help="Until a slide that does not open, or that the table does not know, goes on so.",
        ),
    ] = 10
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="Of an archive: studies of so many last days.")
    ] = 7
    take_over: Annotated[
        bool, typer.Option(help="A folder that is another one than before is meant to be.")
    ] = False
    out: Annotated[
        Path | None,
        typer.Option(help="With it, slides that killed their workers get their flag from here."),
    ] = None
    send: Annotated[
        list[str] | None,
        typer.Option(metavar="TOML|URL|TRUST=URL", help="With --out: where those flags go."),
    ] = None
    trusted_keys: Annotated[
        Path | None, typer.Option(help="Queue only for models signed by this key.")
    ] = None
    audit_file: AuditFile = None
