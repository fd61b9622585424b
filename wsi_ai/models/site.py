"""What a site allows: which models may run here, and whose signature they need."""

from dataclasses import dataclass
from pathlib import Path

from wsi_ai import schemas
from wsi_ai.core.environment import data_folder, from_environment
from wsi_ai.errors import PolicyError

SYSTEM = Path("/etc/wsi-ai/site.toml")


@dataclass(frozen=True, slots=True)
class Site:
    """Which models may run here."""

    store: Path
    """Where ``wsi-ai models add`` keeps them."""
    trusted_keys: tuple[Path, ...] = ()
    """Public keys, or folders of them: of each a model must carry a signature.  Empty: of none."""


def load_site(trusted_keys: Path | None = None, system: Path = SYSTEM) -> Site:
    """From the ``system``'s file, ``/etc/wsi-ai/site.toml``, where it is; ``WSI_AI_SITE``, another
    one like ``configs/site.toml``; ``WSI_AI_MODELS`` and ``WSI_AI_TRUSTED_KEYS``.

    What is said later adds keys and chooses the store: no environment takes a key of a file away.
    ``trusted_keys`` stands in for the environment's.  Raises PolicyError, which names the file and
    the field.
    """
    asked = from_environment("WSI_AI_SITE")
    files = [*([system] if _is_there(system) else []), *([Path(asked)] if asked else [])]
    tables = [(path.parent, _site_table(path)) for path in files]
    keys = [folder / table["trusted_keys"] for folder, table in tables if "trusted_keys" in table]
    other = trusted_keys or from_environment("WSI_AI_TRUSTED_KEYS")
    if other:
        keys.append(Path(other))
    stores = [folder / table["store"] for folder, table in tables if "store" in table]
    usual = (stores or [data_folder() / "models"])[-1]
    return Site(Path(from_environment("WSI_AI_MODELS") or usual), tuple(dict.fromkeys(keys)))


def _is_there(path: Path) -> bool:
    """Also where it cannot be read: that is an error, and no leave to run anything."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _site_table(path: Path) -> dict[str, str]:
    table = schemas.load_toml(path, "site-1", "site settings", PolicyError)
    models: dict[str, str] = table.get("models", {})
    return models
