"""The commands of docs/api.md do what the page says."""

import os
import re
import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from tests.conftest import ROOT
from tests.delivery.servers import free_port, missing, serving
from tests.service.api.world import World, right
from wsi_ai.service.access.guard import Guarded
from wsi_ai.service.access.settings import TrustSettings
from wsi_ai.service.access.site import Site
from wsi_ai.service.access.who import Role
from wsi_ai.service.api.app import api
from wsi_ai.service.slide_allowance import below

PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [
        line
        for block in blocks
        for line in re.findall(r"^curl .*?(?=^curl |\Z)", block, re.M | re.S)
    ]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_command_of_the_page_is_answered(world: World) -> None:
    if shutil.which("curl") is None:
        missing("no curl: apt-get install curl")
    token = world.token("all", *(right(role) for role in Role))
    port, of = free_port(), world.of["RXX"]
    here = {"RXX": TrustSettings("N1", (below("/scans/rxx"),))}
    app = Guarded(api(replace(world.parts, trusts=here)), Site(f"http://127.0.0.1:{port}"))
    known = {"TOKEN": token, "FLAG": of.flag, "SID": of.sid, "JOB": of.job}
    with serving(app, port) as base:
        environment = {**os.environ, **known, "WSI": base, "no_proxy": "*"}
        for command in commands():
            began = time.monotonic()
            done = subprocess.run(
                ["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=30
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            assert done.stdout.startswith(("{", "event: job")), command
            assert time.monotonic() - began < 20
    assert len(commands()) == 14
