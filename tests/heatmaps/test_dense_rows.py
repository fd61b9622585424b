"""A pixel map that was killed half-way goes on only with rows that this site wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from wsi_ai.heatmaps.canvas import Keep
from wsi_ai.heatmaps.dense_rows import DenseRows

SHAPE = (1, 600, 300)


def begun(folder: Path) -> tuple[DenseRows, Keep]:
    keep = Keep(folder / "kept", "ab" * 32, 4)
    rows = DenseRows(folder / "kept" / "map.zarr", keep, SHAPE)
    return rows, keep


def half(folder: Path) -> Keep:
    rows, keep = begun(folder)
    rows.append(np.full((1, 300, 300), 200, np.uint8))
    assert rows.rows == 256
    return keep


def test_what_this_site_wrote_is_gone_on_with(tmp_path: Path) -> None:
    half(tmp_path)
    again, _ = begun(tmp_path)
    assert again.rows == 256
    assert (next(again.bands()) == 200).all()


@pytest.mark.parametrize("what", ["shard", "metadata", "rows", "seal", "gone", "link", "planted"])
def test_what_was_changed_is_begun_anew(tmp_path: Path, what: str) -> None:
    keep = half(tmp_path)
    state, shard = keep.folder / "rows.json", next(keep.folder.rglob("c/*/0/*"))
    table = json.loads(state.read_text())
    if what == "shard":
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
    elif what == "metadata":
        path = keep.folder / "map.zarr" / "0" / "zarr.json"
        path.write_text(path.read_text() + " ")
    elif what == "link":
        shard.rename(tmp_path / "elsewhere")
        shard.symlink_to(tmp_path / "elsewhere")
    elif what == "planted":
        (shard.parent / "1").write_bytes(shard.read_bytes())
    elif what == "gone":
        shard.unlink()
    else:
        table |= {"rows": 512} if what == "rows" else {"seal": "0" * 64}
        state.write_text(json.dumps(table))
    again, _ = begun(tmp_path)
    assert again.rows == 0
