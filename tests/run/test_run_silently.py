"""A run whose flags go to a keeper: asked once, handed on once, and nobody hears what they are."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.models_for_tests import red_network, write_model
from tests.stand_in_runs import write_slide
from wsi_ai.app import RunOptions, run_silently
from wsi_ai.errors import ModelError, OutputError
from wsi_ai.run.kept_answer import NOT_KEPT, Answered, Kept
from wsi_ai.run.run_record import FOLDER


@dataclass
class Drawer:
    """Keeps in memory."""

    knows: bool = False
    full: bool = False
    held: list[Answered] = field(default_factory=list)

    def known(self, slide_sha256: str, question_sha256: str) -> bool:
        return self.knows

    def keep(self, answered: Answered) -> bool:
        if self.full:
            raise OutputError("the drawer is full")
        self.held.append(answered)
        return True


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("m") / "red", red_network(side=64), side=64, mpp=0.5)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_slide(tmp_path / "s.tif", 192)


def run(slide: Path, model: Path, work: Path, keeper: Drawer) -> Kept:
    (outcome,) = run_silently([slide], model, work, keeper, RunOptions(device="cpu"))
    return outcome


def test_a_flag_and_its_record_are_handed_on_and_nothing_is_written(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    keeper, work = Drawer(), tmp_path / "work"
    outcome = run(slide, model, work, keeper)
    assert (outcome.kept, outcome.fresh, outcome.reason, outcome.folder) == (True, True, "", None)
    (answered,) = keeper.held
    assert answered.flag["flag_id"]
    assert answered.run["slide"]["scanner"] == ""
    assert answered.run["question"] == answered.question_sha256
    assert [path for path in work.rglob("*") if path.is_file()] == []
    assert not (work / FOLDER).exists()


def test_what_is_known_is_neither_inferred_nor_handed_on(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    keeper = Drawer(knows=True)
    outcome = run(slide, model, tmp_path / "work", keeper)
    assert (outcome.kept, outcome.fresh, keeper.held) == (True, False, [])
    assert outcome.timing is not None
    assert outcome.timing.tiles is None, "no tile was read"


def test_a_drawer_that_is_full_says_nothing_of_a_slide(
    slide: Path, model: Path, tmp_path: Path
) -> None:
    outcome = run(slide, model, tmp_path / "work", Drawer(full=True))
    assert (outcome.kept, outcome.reason) == (False, "the drawer is full")


def test_a_slide_that_failed_and_cannot_be_kept_is_not_said_to_have_failed(
    model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0" + bytes(range(200)))
    outcome = run(broken, model, tmp_path / "work", Drawer(full=True))
    assert (outcome.kept, outcome.reason) == (False, NOT_KEPT)


def test_a_model_without_flags_is_refused_before_any_slide(slide: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model card"):
        run(slide, Path("nothing@1"), tmp_path / "work", Drawer())
