"""Dask is loaded where a cluster is named, and nowhere else."""

import subprocess
import sys

import pytest

LOADED = "import sys; print(sorted({'dask', 'distributed', 'tornado'} & set(sys.modules)))"


@pytest.mark.parametrize(
    "first",
    [
        "import wsi_ai.cli.run, wsi_ai.cli.embed, wsi_ai.cli.commands.options",
        "import wsi_ai.cli.work",
    ],
)
def test_no_command_loads_dask_unless_it_is_asked_for_a_cluster(first: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{first}; {LOADED}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
