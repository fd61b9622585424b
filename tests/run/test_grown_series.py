"""A DICOM series that grew is the same slide; one with other bytes is a newcomer."""

from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models_for_tests import mean_network, write_encoder
from tests.run.law import Step, World
from tests.slides.test_dicom import series
from wsi_ai.app import Outcome
from wsi_ai.core.flags import Level
from wsi_ai.models.manifest import load_card
from wsi_ai.slides.identity import Cases
from wsi_ai.slides.readers.fingerprint import has_grown, of_parts

WHOSE = Cases((), None, {"trust": "RXX", "accession": "A1", "slide_id": "S1"})


def halved(header: pydicom.Dataset) -> bytes:
    """The frames of a level half as fine, in the same order."""
    side, rows, cols = header.Rows, 3, 4
    frames = np.frombuffer(header.PixelData, np.uint8).reshape(rows, cols, side, side, 3)
    whole = frames.swapaxes(1, 2).reshape(rows * side, cols * side, 3)
    half = np.full((2 * side, 2 * side, 3), 255, np.uint8)
    small = cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    half[: len(small)] = small
    return half.reshape(2, side, 2, side, 3).swapaxes(1, 2).tobytes()


@pytest.fixture
def grown(tmp_path: Path, shared_data: Path) -> World:
    """A series whose finest level was judged and sent before its coarser one came."""
    raw = pydicom.dcmread(shared_data / "dicom" / "wsi2dcm" / "raw.dcm")
    raw.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [5e-4, 5e-4]
    del raw.ImagedVolumeWidth
    raw.AccessionNumber, raw.ContainerIdentifier = "A1", "S1"
    source = tmp_path / "source.dcm"
    raw.save_as(source)
    half = {
        "TotalPixelMatrixColumns": 478, "TotalPixelMatrixRows": 357, "NumberOfFrames": 4,
        "PixelData": halved(raw),
    }  # fmt: skip
    folder = tmp_path / "in" / "series"
    folder.mkdir(parents=True)
    series(folder, source, [{}, half])
    coarser = (folder / "1.dcm").rename(tmp_path / "1.dcm")
    card = load_card(write_encoder(tmp_path / "encoder", mean_network()))
    world = World(tmp_path, card)
    first = again(world)
    assert first.level is Level.EXPEDITE, first.reason
    coarser.rename(folder / "1.dcm")
    return world


def again(world: World) -> Outcome:
    (outcome,) = world.flags(Step(slides=("series",), cases=WHOSE))
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_series_that_grew_is_judged_anew_without_a_word(grown: World) -> None:
    outcome = again(grown)
    assert (outcome.level, outcome.fresh) == (Level.EXPEDITE, True)
    assert max(line.revision for line in grown.outbox().lines()) > 1


def test_a_series_of_which_an_earlier_file_changed_is_another_slide(grown: World) -> None:
    path = grown.root / "in" / "series" / "0.dcm"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    assert "another slide came under the same accession" in again(grown).reason


@given(st.lists(st.integers(0, 99), min_size=1, max_size=8, unique=True), st.data())
def test_whatever_files_came_later_the_series_has_grown_from_the_earlier_ones(
    numbers: list[int], data: st.DataObject
) -> None:
    digests = [f"{number:064d}" for number in numbers]
    earlier = [d for d in digests if data.draw(st.booleans())]
    is_part = 0 < len(earlier) < len(digests)
    assert has_grown(digests, of_parts(earlier)) is is_part
    assert not has_grown(digests, of_parts([*earlier, "a" * 64]))
