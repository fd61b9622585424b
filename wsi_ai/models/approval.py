"""From what a person calls a model to a folder that may be run here."""

from pathlib import Path

from wsi_ai.errors import ModelError
from wsi_ai.models.signing import check_signature, keys_in
from wsi_ai.models.site import Site
from wsi_ai.models.store import ModelStore


def approved_model(model: Path, site: Site) -> Path:
    """The folder of a model, by its path or by its name in the store (``NAME@VERSION``).

    Raises ModelError where there is none, where the store's copy was changed, or where the site
    asks for a signature that it does not have.
    """
    found = find_model(model, site)
    for place in site.trusted_keys:
        check_signature(found.parent if found.is_file() else found, keys_in(place))
    return found


def find_model(model: Path, site: Site) -> Path:
    """The same, whoever signed it.  A path that exists is meant before any name."""
    if model.exists() or len(model.parts) != 1:
        return model
    store = ModelStore(site.store)
    try:
        entry = store.find(str(model))
    except ModelError as error:
        raise ModelError(f"no model card: there is no folder {model}, and {error}") from None
    return store.check(entry)
