"""Make docs/model-card.md from the schema of model cards, which is where to change it.

python docs/make_model_card.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "wsi_ai" / "schemas" / "model-card-1.schema.json"
HEAD = """# The model card, field by field

A [model card](glossary.md#model-card) is the file `model.toml` of a model. A field in bold must be
there. An example: [models/demo-tumour/model.toml](../models/demo-tumour/model.toml).
[models.md](models.md) shows how to have one drafted from a file of weights.

Every card is checked against the [schema](../wsi_ai/schemas/model-card-1.schema.json). Unknown
fields are refused. So are fields that contradict each other, and any that still says TODO. The
message is one line that names file and field.

[Golden tiles](glossary.md#golden-tiles) are not a field. `wsi-ai models golden` writes
`golden.json` and its sheet beside the card.

[make_model_card.py](make_model_card.py) makes this page from the schema.
"""


def main() -> None:
    (ROOT / "docs" / "model-card.md").write_text(page(), "utf-8")


def page() -> str:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    top = [f for f in schema["properties"] if "properties" not in schema["properties"][f]]
    parts = [HEAD, table(schema, schema, top)]
    for name, part in schema["properties"].items():
        if "properties" in part:
            parts.append(f"\n## [{name}]\n\n{part['description']}\n")
            parts.append(table(schema, part, list(part["properties"])))
    return "\n".join(parts)


def table(schema: dict[str, Any], part: dict[str, Any], names: list[str]) -> str:
    rows = ["| field | what it may be | |", "|---|---|---|"]
    rows += [row(schema, part, name) for name in names]
    return "\n".join(rows) + "\n"


def row(schema: dict[str, Any], part: dict[str, Any], name: str) -> str:
    field = part["properties"][name]
    shown = f"**`{name}`**" if name in part.get("required", ()) else f"`{name}`"
    told = field.get("description", "") + "".join(more(field))
    return f"| {shown} | {kind(schema, field)} | {told} |"


def kind(schema: dict[str, Any], field: dict[str, Any]) -> str:
    if "$ref" in field:
        field = {**resolved(schema, field["$ref"]), **field}
    if "const" in field or "enum" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    if field.get("items", {}).get("type") == "number":
        return f"{field['minItems']} numbers"
    words = {"array": "list", "object": "table", "string": "text"}
    return " or ".join(words.get(name, name) for name in types)


def more(field: dict[str, Any]) -> Iterator[str]:
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    told = [f"{sign} {field[name]}" for name, sign in limits.items() if name in field]
    if told:
        yield f" {', '.join(told)}."
    if "default" in field:
        yield f" Left out: `{json.dumps(field['default'])}`."


def resolved(schema: dict[str, Any], ref: str) -> dict[str, Any]:
    found = schema
    for step in ref.removeprefix("#/").split("/"):
        found = found[step]
    return found


if __name__ == "__main__":
    main()
