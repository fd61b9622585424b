"""``wsi-ai models``: from a file of weights to an approved model.  Declarations only."""

from pathlib import Path
from typing import Annotated

import typer

from wsi_ai.cli.commands.options import CardArguments, Positive, Threshold, TrustPickle, takes

Asked = Annotated[str, typer.Argument(metavar="NAME[@VERSION]")]
Folder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder with model.toml.")]
Out = Annotated[
    Path | None, typer.Option(help="The model's folder; by default named as the file is.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="A field of docs/model-card.md."),
]

alone = typer.Typer()


@alone.command()
@takes(CardArguments)
def init(
    weights: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="ONNX, PyTorch or safetensors.")
    ],
    out: Out = None,
    fields: Set = None,
    trust_pickle: TrustPickle = False,
    *,
    arguments: CardArguments,
) -> None:
    """Draft a model card for a file of weights.

    What the file says is filled in, what you say too; the rest you are asked for, or it says TODO.
    A card that says TODO is not run; the same command goes on with it.  For an encoder add
    --set task=embedding.  For a first look at what a model does, --trial asks for no texts.
    """
    from wsi_ai.cli import model_folders

    loading = model_folders.Loading(trust_pickle, arguments.trial)
    raise typer.Exit(model_folders.init(weights, out, arguments.fields(), fields or [], loading))


@alone.command()
def import_wsinfer(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER|REPO", help="config.json and weights, or OWNER/NAME.")
    ],
    out: Out = None,
    positive: Positive = None,
    threshold: Threshold = None,
    fields: Set = None,
) -> None:
    """Draft a model card for a model of the WSInfer zoo.

    Downloads only what is named as a repository of Hugging Face, OWNER/NAME[@REVISION].
    """
    named = {"operating_point.class": positive, "operating_point.threshold": threshold}
    from wsi_ai.cli import model_folders

    raise typer.Exit(model_folders.import_wsinfer(source, out, named, fields or []))


@alone.command()
def import_encoder(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER|REPO", help="config.json and weights, or OWNER/NAME.")
    ],
    out: Out = None,
    fields: Set = None,
) -> None:
    """Draft a model card for an encoder of Hugging Face, of timm or transformers.

    Downloads only what is named as a repository, OWNER/NAME[@REVISION].
    """
    from wsi_ai.cli import model_folders

    raise typer.Exit(model_folders.import_encoder(source, out, fields or []))


@alone.command()
def add(model: Folder) -> None:
    """Copy a model into the store, all of its files, by name and version."""
    from wsi_ai.cli import model_folders

    raise typer.Exit(model_folders.add(model))


@alone.command("list")
def list_models() -> None:
    """What the store has."""
    from wsi_ai.cli import model_folders

    raise typer.Exit(model_folders.list_models())


@alone.command()
def show(model: Annotated[Path, typer.Argument(metavar="MODEL|NAME[@VERSION]")]) -> None:
    """A model's card, and whether its files are what was added and signed."""
    from wsi_ai.cli import model_folders

    raise typer.Exit(model_folders.show(model))


@alone.command()
def remove(model: Asked) -> None:
    """Take a model out of the store."""
    from wsi_ai.cli import model_folders

    raise typer.Exit(model_folders.remove(model))


@alone.command()
def sign(
    model: Annotated[Path, typer.Argument(metavar="MODEL|NAME[@VERSION]")],
    key: Annotated[Path, typer.Option(help="Private key (PEM), of openssl genpkey.")],
) -> None:
    """Sign all of a model's files, so that sites that trust the key run it."""
    from wsi_ai.cli import model_folders

    raise typer.Exit(model_folders.sign(model, key))


def add_to(models: typer.Typer) -> None:
    """Put these commands beside the others."""
    models.registered_commands += alone.registered_commands
