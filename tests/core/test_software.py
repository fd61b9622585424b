"""Which software this is."""

from pathlib import Path

from wsi_ai.core import software


def test_every_source_on_which_a_score_depends_counts_as_scoring_code() -> None:
    """Whatever language it is in."""
    counted = {file.suffix for part in software._SCORING for file in _sources(part)}
    assert counted == {".py", ".c", ".cu"}


def _sources(part: str) -> list[Path]:
    return software._sources(Path(software.__file__).parents[1] / part)
