"""What a site sets: the triage policy, from TOML."""

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.errors import PolicyError
from wsi_ai.qc import QualityLimits
from wsi_ai.triage import AreaPolicy


@dataclass(frozen=True, slots=True)
class Policy:
    """When a slide is expedited, and when it is fit to be assessed at all."""

    rule: AreaPolicy = field(default_factory=AreaPolicy)
    quality: QualityLimits = field(default_factory=QualityLimits)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def load_policy(path: Path | None) -> Policy:
    """Read a policy file (``schemas/policy-1.schema.json``); the defaults where there is none.

    Raises PolicyError, which names the file and the field.
    """
    if path is None:
        return Policy()
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise PolicyError(f"no policy: {path}: {error.strerror}") from None
    except ValueError as error:  # TOML or UTF-8
        raise PolicyError(f"{path} is not valid TOML: {error}") from None
    if wrong := schemas.complaint("policy-1", table):
        raise PolicyError(f"{path}: {wrong}")
    rule = {**table.get("rule", {}), "name": table["name"]}
    if "min" in table.get("coverage", {}):
        rule["min_coverage"] = table["coverage"]["min"]
    return Policy(AreaPolicy(**rule), QualityLimits(**table.get("quality", {})))
