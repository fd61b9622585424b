"""Cards for a first try, without the texts that only a person can write; and back to whole ones."""

from collections.abc import Mapping
from typing import Any

from wsi_ai.models.card_checks import INCOMPLETE, TEXTS, unfinished
from wsi_ai.models.drafts.questions import todo

_SCOPE = "scope"


def without_texts(table: Mapping[str, Any]) -> dict[str, Any]:
    """The draft as an incomplete card: it says so, and texts that nobody wrote are left out."""
    made = {**_head(table), INCOMPLETE: True, **_rest(table)}
    for section, names in (*TEXTS.items(), (_SCOPE, ("stain", "organ"))):
        if section in made:
            texts = made[section]
            left = {k: v for k, v in texts.items() if k not in names or not unfinished(v)}
            made[section] = left
    if not made.get(_SCOPE, True):
        del made[_SCOPE]
    return made


def with_texts_to_write(table: Mapping[str, Any]) -> dict[str, Any]:
    """An incomplete card as a draft, that asks for what was left out; any other stays as it is."""
    if INCOMPLETE not in table:
        return dict(table)
    made = {name: part for name, part in table.items() if name != INCOMPLETE}
    for section, names in TEXTS.items():
        if section in made:
            asked = {name: todo(f"{section}.{name}") for name in names}
            made[section] = {**made[section], **{k: v for k, v in asked.items()
                                                 if k not in made[section]}}  # fmt: skip
    return made


def _head(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in table.items() if not isinstance(part, Mapping)}


def _rest(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in table.items() if isinstance(part, Mapping)}
