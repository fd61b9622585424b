"""From what a person calls a model to a card that may be run here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wsi_ai.core.cards import ModelCard, Precision
from wsi_ai.errors import ModelError
from wsi_ai.models.golden import GOLDEN
from wsi_ai.models.manifest import load_card, manifest_path
from wsi_ai.models.signing import keys_in, signed_files
from wsi_ai.models.site import Site
from wsi_ai.models.store import ModelStore


@dataclass(frozen=True, slots=True)
class Approved:
    """A model's folder, and what its files must be: SHA-256 by name, once for the store's word and
    once for each signature."""

    folder: Path
    files: tuple[Mapping[str, str], ...]

    def hold(self, card: ModelCard) -> ModelCard:
        """The card, where the bytes that it was read from are those that were approved.  Its
        weights are held to the card's own digest when they are loaded.  Raises ModelError."""
        manifest, golden = manifest_path(self.folder), card.weights.parent / GOLDEN
        read = {
            manifest.name: card.manifest_sha256,
            golden.relative_to(manifest.parent).as_posix(): card.golden_sha256,
        }
        for files in self.files:
            for name, digest in read.items():
                if files.get(name, "") != digest:
                    raise ModelError(f"the model is not what was approved: {name} was changed")
        return card


def approved_card(model: Path, site: Site, precision: Precision = Precision.FP32) -> ModelCard:
    """The card of a model, by its path or by its name in the store (``NAME@VERSION``).

    Raises ModelError where there is none, where the store's copy was changed, or where the site
    asks for a signature that it does not have: of what was read, whatever is on the disk by now.
    """
    approved = _approved(model, site)
    return approved.hold(load_card(approved.folder, precision))


def approved_model(model: Path, site: Site) -> Path:
    """The same model's folder."""
    return _approved(model, site).folder


def _approved(model: Path, site: Site) -> Approved:
    found = _found(model, site)
    folder = found.folder.parent if found.folder.is_file() else found.folder
    signed = tuple(signed_files(folder, keys_in(place)) for place in site.trusted_keys)
    return Approved(found.folder, (*found.files, *signed))


def find_model(model: Path, site: Site) -> Path:
    """The same, whoever signed it.  A path that exists is meant before any name."""
    return _found(model, site).folder


def _found(model: Path, site: Site) -> Approved:
    if model.exists() or len(model.parts) != 1:
        return Approved(model, ())
    store = ModelStore(site.store)
    try:
        entry = store.find(str(model))
    except ModelError as error:
        raise ModelError(f"no model card: there is no folder {model}, and {error}") from None
    return Approved(store.check(entry), (entry.files,))
