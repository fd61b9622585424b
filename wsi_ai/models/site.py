"""What a site allows: which models may run here, and whose signature they need."""

from dataclasses import dataclass
from pathlib import Path

from wsi_ai import schemas
from wsi_ai.core.environment import data_folder, from_environment
from wsi_ai.errors import PolicyError

_SITE = Path("/etc/wsi-ai/site.toml")


@dataclass(frozen=True, slots=True)
class Site:
    """Which models may run here."""

    store: Path
    """Where ``wsi-ai models add`` keeps them."""
    trusted_keys: tuple[Path, ...] = ()
    """Public keys, or folders of them: of each a model must carry a signature.  Empty: of none."""


def load_site(trusted_keys: Path | None = None) -> Site:
    """From ``WSI_AI_SITE``, a file like ``configs/site.toml`` (else ``/etc/wsi-ai/site.toml``,
    where it is), ``WSI_AI_MODELS`` and ``WSI_AI_TRUSTED_KEYS``.

    ``trusted_keys`` stands in for the environment's; those of the file hold in any case.  Raises
    PolicyError, which names the file and the field.
    """
    told = from_environment("WSI_AI_SITE")
    path = Path(told) if told else _SITE
    table = _site_table(path) if told or path.is_file() else {}
    keys = [path.parent / table["trusted_keys"]] if "trusted_keys" in table else []
    other = trusted_keys or from_environment("WSI_AI_TRUSTED_KEYS")
    if other:
        keys.append(Path(other))
    usual = path.parent / table["store"] if "store" in table else data_folder() / "models"
    return Site(Path(from_environment("WSI_AI_MODELS") or usual), tuple(keys))


def _site_table(path: Path) -> dict[str, str]:
    table = schemas.load_toml(path, "site-1", "site settings", PolicyError)
    models: dict[str, str] = table.get("models", {})
    return models
