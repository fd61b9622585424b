"""A silent run leaves nothing that says what a flag is, and a slide is one record."""

import json
import tempfile
from pathlib import Path

import pytest

from tests.trial.site_world import BLUISH, GLASS, PINK, World, make_world, write_slide

SLIDES = {"c1-a": PINK, "c2-a": BLUISH, "c3-a": GLASS}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three slides sealed: one of each level."""
    world = make_world(tmp_path_factory.mktemp("world"), SLIDES)
    assert world.join()[0] == 0
    status, output = world.seal()
    assert status == 0, output
    assert "3 slides: 3 sealed, 0 already in" in output
    return world


def test_x(done: World) -> None:
    print([str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file()])
    print((done.trial / "ledger.jsonl").read_text())
    print(done.seal())
    assert 0
