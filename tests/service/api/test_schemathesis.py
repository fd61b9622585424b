"""Whatever the description allows, or forbids, is asked of a real server on both databases: it
makes no mistake of its own, and answers as it says that it does.

Every operation and every check each day; more examples, and PostgreSQL's whole set, every night."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.delivery.servers import free_port, missing, serving
from tests.depth import NIGHTLY, depth
from tests.service.api.world import WORKER, World, right
from wsi_ai.service.access.guard import Guarded
from wsi_ai.service.access.site import Site
from wsi_ai.service.access.who import Role
from wsi_ai.service.api.app import api

PHASES = "examples,coverage,fuzzing,stateful"
NOT_OF_THE_SCHEMA = "positive_data_acceptance"
"""Which trusts, models and pages there are stands in no schema."""


def program() -> str:
    found = os.environ.get("WSI_AI_SCHEMATHESIS") or shutil.which("schemathesis")
    if found is None or not Path(found).exists():
        missing("no schemathesis: a virtual environment of its own, as in .ci/run")
        raise AssertionError
    return found


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_request_whatever_makes_the_server_fail(world: World, tmp_path: Path) -> None:
    schemathesis = program()
    token = world.token("all", *(right(role) for role in Role))
    app = api(world.parts)
    of, place = world.of["RXX"], "/".join(world.parts.trusts["RXX"].slides_below[0].parts)
    example = {"trust": "RXX", "slide": f"/{place}/a.svs", "models": ["demo@1"]}
    assert app.openapi_schema is not None
    body = app.openapi_schema["paths"]["/v1/jobs"]["post"]["requestBody"]
    body["content"]["application/json"]["example"] = example
    (tmp_path / "schemathesis.toml").write_text(
        f'[parameters]\n"path.sid" = "{of.sid}"\n"path.flag_id" = "{of.flag}"\n'
        f'"path.worker_id" = "{WORKER}"\n"path.revision" = 1\n'
    )
    whole = NIGHTLY or world.engine.dialect.name == "sqlite"
    phases = PHASES if whole else PHASES.replace("coverage,", "")
    examples = depth(4 if whole else 2, 25)
    port = free_port()
    with serving(Guarded(app, Site(f"http://127.0.0.1:{port}")), port) as base:  # type: ignore[arg-type]
        command = [schemathesis, "run", f"{base}/openapi.json", "--no-color", "--seed", "1",
                   "--header", f"Authorization: Bearer {token}", "--phases", phases,
                   "--max-examples", str(examples), "--request-timeout", "20",
                   "--exclude-checks", NOT_OF_THE_SCHEMA,
                   "--exclude-path", "/v1/jobs/{job_id}/events",
                   "--generation-database", "none"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=900)
    print(summary(done.stdout))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def summary(text: str) -> str:
    return "\n".join(
        line for line in text.splitlines() if re.search(r"Tested|generated|✅|❌", line)
    )
