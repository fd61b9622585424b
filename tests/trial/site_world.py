"""A region and a site with a real model and real slides, as small as they can be."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import tomlkit
from typer.testing import CliRunner

from tests.models_for_tests import red_network, write_model
from tests.trial.protocols import document, key_pair
from wsi_ai.cli import app
from wsi_ai.models.manifest import load_card
from wsi_ai.trial.documents import key_sha256
from wsi_ai.trial.draft import index_test_of
from wsi_ai.trial.locking import make_unseal_key

OPEN = 'name = "open"\n[rule]\ntiles = 1\n[quality]\nfocus_min = 0\npen_max = 1\ncast_max = 1\n'
PINK, BLUISH, GLASS = (200, 80, 140), (105, 70, 160), (244, 244, 244)
"""Of the stand-in model, whose score is the share of red: expedite, standard, not assessed."""


def write_slide(path: Path, colour: tuple[int, int, int] = PINK, seed: int = 0) -> Path:
    """192 px, 0.5 µm/px."""
    noise = np.random.default_rng(seed).integers(0, 12, (192, 192, 3), np.uint8)
    tifffile.imwrite(
        path, np.array(colour, np.uint8) + noise, tile=(64, 64), photometric="rgb",
        compression="deflate", resolution=(20_000, 20_000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    return path


@dataclass(frozen=True)
class World:
    """Files below one folder."""

    folder: Path

    @property
    def trial(self) -> Path:
        return self.folder / "trial"

    def run(self, *words: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["trial", *map(str, words)])
        return done.exit_code, done.output

    def ok(self, *words: object) -> str:
        status, output = self.run(*words)
        assert status == 0, output
        return output

    def sign(self, made: dict[str, Any], name: str = "protocol") -> Path:
        (self.folder / f"{name}.toml").write_text(tomlkit.dumps(made))
        out = self.folder / f"{name}.dsse"
        key = self.folder / "region.pem"
        self.ok("protocol", "sign", self.folder / f"{name}.toml", "--key", key, "--out", out)
        return out

    def join(self, signed: Path | None = None, out: Path | None = None) -> tuple[int, str]:
        return self.run(
            "join", signed or self.folder / "protocol.dsse", "--trusted-keys",
            self.folder / "region.pub", "--site", "RXX", "--key", self.folder / "rxx.pem",
            "--out", out or self.trial,
        )  # fmt: skip

    def seal(self, *words: object) -> tuple[int, str]:
        return self.run(
            "run", self.folder / "slides", "--trial", self.trial, "--model", self.folder / "red",
            "--policy", self.folder / "open.toml", "--cases", self.folder / "cases.csv",
            "--device", "cpu", "--quiet-s", 0, *words,
        )  # fmt: skip

    def lock(self, *words: object, reference: str = "reference.csv") -> tuple[int, str]:
        return self.run("reference", "lock", self.folder / reference, "--trial", self.trial, *words)

    def release(self, lock: str = "lock.json") -> tuple[int, str]:
        return self.run(
            "key", "release", self.folder / lock, "--protocol", self.folder / "protocol.dsse",
            "--trusted-keys", self.folder / "region.pub", "--sites", self.folder / "sites",
            "--unseal-keys", self.folder / "unseal", "--key", self.folder / "region.pem",
        )  # fmt: skip

    def unsealed(self) -> Path:
        """Locked, and the key is there."""
        (self.folder / "lock.json").write_text(self.lock()[1])
        status, released = self.release()
        assert status == 0, released
        (self.folder / "rxx.unseal").write_text(released)
        return self.folder / "rxx.unseal"

    def analyse(self, *words: object) -> tuple[int, str]:
        key = self.folder / "rxx.unseal"
        return self.run("analyse", "--trial", self.trial, "--unseal", key, *words)


def protocol(world: World) -> dict[str, Any]:
    """Of the world's own model, site and keys."""
    made = copy.deepcopy(document())
    made["index_test"] = dict(
        index_test_of(load_card(world.folder / "red"), world.folder / "open.toml")
    )
    (world.folder / "unseal").mkdir(exist_ok=True)
    unseal = world.folder / "unseal" / "RXX.key"
    made["site"][0] |= {
        "key_sha256": key_sha256((world.folder / "rxx.pem").read_bytes()),
        "unseal_public": make_unseal_key(unseal),
    }
    made["missing"]["max_share"] = 0.3
    return made


def make_world(folder: Path, slides: dict[str, tuple[int, int, int]]) -> World:
    """Slides by name, ``CASE-SLIDE``, each by its colour; their case is the name's first part."""
    world = World(folder)
    for name in ("region", "rxx"):
        private, public = key_pair()
        (folder / f"{name}.pem").write_bytes(private)
        (folder / f"{name}.pub").write_bytes(public)
    (folder / "sites").mkdir()
    (folder / "sites" / "rxx.pub").write_bytes((folder / "rxx.pub").read_bytes())
    (folder / "open.toml").write_text(OPEN)
    write_model(folder / "red", red_network(side=64), side=64, mpp=0.5)
    (folder / "slides").mkdir()
    rows = ["file,trust,accession,slide_id"]
    for seed, (name, colour) in enumerate(slides.items()):
        write_slide(folder / "slides" / f"{name}.tif", colour, seed)
        rows.append(f"{name}.tif,RXX,{name.partition('-')[0]},{name}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    world.sign(protocol(world))
    return world


def write_reference(world: World, truth: dict[str, str], name: str = "reference.csv") -> None:
    """A code by case; its patient is the case's number."""
    rows = ["trust,accession,patient,result,certainty"]
    rows += [
        f"RXX,{case},p{case},{code},{'definite' if code else ''}" for case, code in truth.items()
    ]
    (world.folder / name).write_text("\n".join(rows) + "\n")
