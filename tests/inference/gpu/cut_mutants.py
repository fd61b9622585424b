"""Break ``cut.cu`` in one place at a time.

``python -m tests.inference.gpu.cut_mutants`` prints what notices each of them, as a table."""

import subprocess
import sys

from tests.conftest import ROOT
from tests.inference.gpu.cut_scenarios import differing, on_host
from tests.inference.gpu.host_kernel import build
from wsi_ai.inference.gpu.cutting import source

SEED, CASES = 1, 60
EQUIVALENT = "x and y exchanged in the output"
"""Which thread draws which pixel is another order and nothing else: every pixel is drawn once, by
both numberings, and no thread looks at another's."""
CHANGES = {
    "beyond the right rim not white": ("x >= level.width || y", "x > level.width || y"),
    "beyond the bottom rim not white": ("|| y >= level.height", ""),
    "before the left rim not white": ("if (x < 0 || y < 0", "if (y < 0"),
    "first column from the unclamped left": (
        "(left < 0 ? 0 : left) / level.tile_w", "left / level.tile_w",
    ),
    "rows and columns exchanged in the table": (
        "(row - first_row) * level.cols + (col - first_col)",
        "(col - first_col) * level.rows + (row - first_row)",
    ),
    "stored tile's row stride is its height": (
        "* level.tile_w + (x - col", "* level.tile_h + (x - col",
    ),
    "never scanned read as a tile": ("if (at == NOTHING) return white;", ""),
    "never scanned is black": (
        "const Rgb white = {WHITE, WHITE, WHITE};", "const Rgb white = {0, 0, 0};",
    ),
    "red and blue exchanged": ("{p[0], p[1], p[2]}", "{p[2], p[1], p[0]}"),
    "weights exchanged between rows and columns": (
        "= ys[(1 + j) * side + oy]", "= xs[(1 + j) * side + oy]",
    ),
    "weights of another pixel": ("= xs[(1 + i) * side + ox]", "= xs[(1 + i) * side + oy]"),
    "weights in another order": (
        "= xs[(1 + i) * side + ox]", "= xs[(shape.taps_w - i) * side + ox]",
    ),
    "every tap is the first": ("xs[ox] + i, ys", "xs[ox], ys"),
    "every row is the first": ("ys[oy] + j)", "ys[oy])"),
    "the last tap is left out": ("i < shape.taps_w", "i < shape.taps_w - 1"),
    "as many rows as columns": ("j < shape.taps_h", "j < shape.taps_w"),
    "rounded down": ("half = whole / 2", "half = 0"),
    "halves down": ("half = whole / 2", "half = (whole - 1) / 2"),
    "rounded twice": ("down * row.g", "down * ((row.g + 8) / 16 * 16)"),
    "sums of 16 bits": ("sum.b += down * row.b", "sum.b += (unsigned short)(down * row.b)"),
    "planes first is planes last": ("PLANES ? ", "!PLANES ? "),
    "x and y exchanged in the output": (
        "at % side, oy = at / side", "at / side, oy = at % side",
    ),
    "the last pixels are not written": (
        "if (at >= side * side) return;", "if (at >= side * side - 1) return;",
    ),
    "one table of levels for all channels": (
        "lut[256 + sum.g], lut[512 + sum.b]", "lut[sum.g], lut[sum.b]",
    ),
    "padding not black": ("if (tile < shape.tiles) {", "if (true) {"),
    "padding left as it was": (
        "const unsigned int v[3]",
        "if (tile >= shape.tiles) return;\n    const unsigned int v[3]",
    ),
    "corner of the neighbour": (
        "corners[2 * tile], top", "corners[2 * (tile ? tile - 1 : 0)], top",
    ),
    "depends on the order of threads": (
        "for (int c = 0; c < 3; ++c) {",
        "static int last; const int before = last; last = at;\n"
        "    for (int c = 0; c < 3; ++c) { if (before > at + 1 && at % 997 == 5) continue;",
    ),
}  # fmt: skip


def mutant(what: str) -> str:
    """The source with that change."""
    old, new = CHANGES[what]
    if old not in source():
        raise ValueError(f"the kernel no longer has {old!r}")
    return source().replace(old, new)


def found_by(what: str) -> str | None:
    """What notices it; ``None`` where nothing does.  In a process of its own, for it may crash."""
    command = [sys.executable, "-m", "tests.inference.gpu.cut_mutants", what]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
    )
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip() or None


def _first_case(what: str) -> str:
    bad = differing(on_host(build(mutant(what), ("-O0",))), CASES, SEED, stop=True)
    return f"case {bad[0]}" if bad else ""


def report() -> None:
    for what in CHANGES:
        print(f"{what:45} {found_by(what) or '**survives**'}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(_first_case(sys.argv[1]))
    else:
        report()
