"""A real OpenID Connect provider on loopback (oidc-provider, of npm)."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from joserfc.jwk import RSAKey

from tests.conftest import ROOT
from tests.delivery.servers import missing

_PINS = ROOT / "tests" / "openid"
SECRETS = {"basic": "s:e%c+r/e t=~", "post": "s&e%c+r=t"}


@dataclass(frozen=True)
class Running:
    issuer: str
    callback: str
    key: RSAKey = field(repr=False)

    def says(self, person: Mapping[str, Any]) -> None:
        """Whom it logs in from now on."""
        asked = f"{self.issuer}/who?person={quote(json.dumps(person))}"
        assert httpx.get(asked).status_code == 200


@contextmanager
def provider(callback: str, port: int = 0) -> Iterator[Running]:
    folder = _installed()
    node = shutil.which("node")
    if node is None or folder is None:
        missing("no OpenID provider: needs Node.js, and npm ci as in .ci/run")
        return
    key = RSAKey.generate_key(2048)
    script = folder / "provider.mjs"
    shutil.copyfile(_PINS / script.name, script)
    told = {"CALLBACK": callback, "KEY": json.dumps(key.as_dict(private=False)), "PORT": str(port)}
    environment = {**os.environ, **told}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([node, str(script)], env=environment, **pipes) as process:
        try:
            assert process.stdout is not None
            at = process.stdout.readline().strip()
            assert at, "the provider did not start"
            yield Running(f"http://127.0.0.1:{at}", callback, key)
        finally:
            process.kill()


def _installed() -> Path | None:
    """Where ``.ci/run`` put it: outside the tree, in the very versions."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "wsi-ai-tests" / "openid"
    lock = folder / "package-lock.json"
    same = lock.exists() and lock.read_bytes() == (_PINS / lock.name).read_bytes()
    return folder if same and (folder / "node_modules" / "oidc-provider").exists() else None
