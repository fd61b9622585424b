"""One site, from the signature to the result; and everything that goes wrong on the way."""

import pytest

from tests.trial.site_world import BLUISH, GLASS, PINK, World, make_world, write_reference

SLIDES = {
    "c1-a": PINK, "c1-b": BLUISH, "c2-a": BLUISH, "c3-a": GLASS, "c4-a": PINK, "c5-a": BLUISH,
}  # fmt: skip
TRUTH = {"c1": "CANCER", "c2": "BENIGN", "c3": "CANCER", "c4": "BENIGN", "c6": "CANCER", "c7": ""}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = make_world(tmp_path_factory.mktemp("world"), SLIDES)
    assert world.join()[0] == 0
    status, output = world.seal()
    assert status == 0, output
    write_reference(world, TRUTH)
    return world


def test_a(sealed):
    sealed.unsealed()
    print(sealed.analyse())
    print((sealed.trial / "results.json").read_text())
    print((sealed.trial / "cases.csv").read_text())
    assert 0
