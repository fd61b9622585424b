"""Every row of the failure table once; ``WSI_AI_BAD_DAYS=all``, as every night, for each on both
databases.

``python -m tests.service.failures --times 10`` prints the table.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.conftest import postgres_url  # noqa: F401
from tests.depth import NIGHTLY
from tests.service.failures import TRIALS, lab, site

_BOTH = NIGHTLY or os.environ.get("WSI_AI_BAD_DAYS") == "all"
_CASES = [
    (trial, database)
    for n, trial in enumerate(TRIALS)
    for m, database in enumerate(("sqlite", "postgresql"))
    if _BOTH or n % 2 == m
]


@pytest.fixture(scope="module")
def model_and_plugins() -> Iterator[tuple[Path, Path]]:
    with site() as found:
        yield found


@pytest.mark.parametrize(("trial", "database"), _CASES)
def test_on_a_bad_day_each_slide_has_one_answer_said_once(
    trial: str,
    database: str,
    model_and_plugins: tuple[Path, Path],
    request: pytest.FixtureRequest,
) -> None:
    url = "sqlite" if database == "sqlite" else request.getfixturevalue("postgres_url")
    with lab(url, *model_and_plugins) as it:
        TRIALS[trial](it)
