"""``routing.toml``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsi_ai import schemas
from wsi_ai.errors import PolicyError
from wsi_ai.models.approval import approved_card
from wsi_ai.models.site import load_site
from wsi_ai.service.jobs import Priority
from wsi_ai.service.routing.rules import Routing, Rule

SCHEMA = "routing-1"


def load_routing(path: Path, trusted_keys: Path | None = None) -> Routing:
    """With the models that it names: one that may not run here would leave slides without.

    Raises PolicyError, which names the file and the rule, or ModelError.
    """
    table = schemas.load_toml(path, SCHEMA, "routing", PolicyError)
    rules = tuple(_rule(row, path.parent) for row in table["rule"])
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise PolicyError(f"{path}: two rules are called {name}")
    if all(rule.silent for rule in rules):
        raise PolicyError(f"{path}: every rule is silent: no slide would ever get a flag")
    _check_models(rules, trusted_keys)
    return Routing(rules)


def _rule(row: Mapping[str, Any], folder: Path) -> Rule:
    return Rule(
        name=row["name"],
        models=tuple(_model(name, folder) for name in row["models"]),
        when=_facts(row.get("when", {})),
        unless=_facts(row.get("unless", {})),
        priority=Priority(row.get("priority", Priority.ROUTINE)),
        silent=row.get("silent", False),
    )


def _facts(table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {n: (words,) if isinstance(words, str) else tuple(words) for n, words in table.items()}


def _model(name: str, folder: Path) -> str:
    """A folder by its whole path, for the worker has another one at hand."""
    place = folder / name
    return str(place.resolve()) if place.is_dir() else name


def _check_models(rules: tuple[Rule, ...], trusted_keys: Path | None) -> None:
    site = load_site(trusted_keys)
    for name in dict.fromkeys(name for rule in rules for name in rule.models):
        approved_card(Path(name), site)
