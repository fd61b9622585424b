"""A plug-in that does not load costs nobody else anything.

The kinds are those of public reports: a library of the plug-in's own is missing or has changed, the
entry point is one version old, the package was removed and its metadata stayed.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from wsi_ai.core.cards import AggregatorRef
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.registry import open_sink
from wsi_ai.errors import NoDevice, SinkError, UnknownFormat
from wsi_ai.inference.registry import devices_asked, open_aggregator
from wsi_ai.slides.registry import open_slide
from wsi_ai.testing import MEAN_CARD

BROKEN = {
    "its library is missing": "import a_library_that_is_not_there\n",
    "its library has changed": "from os import a_name_that_was_removed\n",
    "its factory has another name": "def open_a_slide(path, spacing=None): ...\n",
    "it is for another Python": "print 'hello'\n",
    "it was removed": None,
}


@pytest.fixture(params=BROKEN.values(), ids=BROKEN.keys())
def broken(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of no known format, where the reader ``broken`` is installed and does not load."""
    about = tmp_path / "broken-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    module = f"broken_reader_{tmp_path.name}"
    rooms = {"readers": "slide", "sinks": "sink", "aggregators": "aggregator", "devices": "count"}
    points = (f"[wsi_ai.{room}]\nbroken = {module}:open_{what}" for room, what in rooms.items())
    (about / "entry_points.txt").write_text("\n".join(points))
    if request.param is not None:
        (tmp_path / f"{module}.py").write_text(request.param)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "slide.unknown"
    path.write_text("no slide")
    return path


def test_a_reader_that_does_not_load_leaves_the_slide_to_the_next(broken: Path) -> None:
    with pytest.raises(UnknownFormat, match="OpenSlide"):  # the last one was asked
        open_slide(broken)


def test_the_warning_names_the_plug_in_and_not_the_slide(
    broken: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnknownFormat):
        open_slide(broken)
    (warning,) = caplog.messages
    assert "broken" in warning
    assert "slide.unknown" not in warning


def test_a_reader_that_was_asked_for_by_name_says_that_it_does_not_load(broken: Path) -> None:
    with pytest.raises(NoDevice, match="the plug-in broken") as refused:
        open_slide(broken, reader="broken")
    assert "wsi-ai[" not in str(refused.value)  # no extra of ours would help


@pytest.mark.usefixtures("broken")
def test_no_other_package_is_mended_by_an_extra_of_ours() -> None:
    with pytest.raises(SinkError, match="sink region: the plug-in broken") as sink:
        open_sink(Endpoint("region", "broken://place", None))
    second = AggregatorRef(Path("head"), "broken", "0" * 64)
    with pytest.raises(NoDevice, match="the plug-in broken") as aggregator:
        open_aggregator(replace(MEAN_CARD, aggregator=second))
    with pytest.raises(NoDevice, match="the plug-in broken") as device:
        devices_asked("broken")
    for refused in (sink, aggregator, device):
        assert "wsi-ai[" not in str(refused.value)
