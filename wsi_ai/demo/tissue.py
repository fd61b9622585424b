"""Lay the atlases out under the plan: one block of tissue as amounts of stain."""

from dataclasses import dataclass

import numpy as np

from wsi_ai.demo.atlases import Atlases
from wsi_ai.demo.canvas import Canvas
from wsi_ai.demo.frame import (
    CELL_PX,
    F32,
    HALO_PX,
    RAGGED_PX,
    SIDE_PX,
    U8,
    BlockAt,
    Mask,
    cut,
    fine,
    window,
)
from wsi_ai.demo.nests import LEVEL_STEP
from wsi_ai.demo.objects import Objects
from wsi_ai.demo.plan import Plan
from wsi_ai.demo.regions import Patch
from wsi_ai.demo.stain import RED_CELL
from wsi_ai.demo.stroma import FINE, LOOSE, MUSCLE

STROMA, BUNDLES, LAMINA, REACTIVE = 0, 1, 2, 3  # grounds, by what grows on them
TEXTURE = (LOOSE, MUSCLE, FINE, FINE)
SPINDLE_DENSITY = np.array((0.42, 0.34, 0.42, 0.6), np.float32)
CELL_DENSITY = np.array((0.006, 0.006, 0.206, 0.021), np.float32)
SEPTUM_PX = 40.0  # fat and nests end so far from the border of a region
REGION_EDGE = 1 / 90.0  # how fast nests thin out towards it, deviations per px


@dataclass(frozen=True, slots=True)
class Ground:
    """Per pixel of the drawn square; `edge` is px inside the tissue's frayed outline."""

    kind: U8
    lymph: F32
    edge: F32
    patches: list[Patch]


class Tissue:
    """Draws blocks from a plan and atlases; keeps nothing between blocks."""

    def __init__(self, plan: Plan, atlases: Atlases, px_per_um: float) -> None:
        self._plan, self._atlases, self._px = plan, atlases, px_per_um

    def draw(self, at: BlockAt) -> Canvas:
        canvas, ground = Canvas(), self._ground(at)
        for patch in ground.patches:
            self._paint_ground(canvas, patch, ground)
        fat, crypts = self._atlases.fat, self._atlases.crypts
        chosen = []
        for patch in ground.patches:
            if window(self._plan.fat_near, at).max() > 0:
                self._paint_objects(canvas, patch, fat, self._lie_in(fat, at, patch, "fat"))
            own = crypts[patch.region % 2].objects
            wanted = self._lie_in(own, at, patch, "mucosa")
            if window(self._plan.crypts_near, at).max() > 0:
                self._paint_objects(canvas, patch, own, wanted)
            chosen.append(wanted)
        nests = [self._paint_nests(canvas, at, patch) for patch in ground.patches]
        surface = self._paint_surface(canvas, at, ground)
        self._trim(canvas, at, ground.edge)
        for patch, wanted, nest in zip(ground.patches, chosen, nests, strict=True):
            self._stamp_ground(canvas, patch, ground)
            self._stamp_crypts(canvas, patch, wanted, ground.edge > 0)
            self._stamp_nests(canvas, patch, nest & (ground.edge > 0))
        if surface.any():
            stroma = self._atlases.stroma
            i, x, y = stroma.cells.near(at.x0, at.y0)
            keep = surface[y, x]
            canvas.stamp(self._atlases.stamps.bank, stroma.surface[i[keep]], x[keep], y[keep])
        self._fold(canvas, at)
        return canvas

    def nests(self, at: BlockAt) -> Mask:
        """Which pixels of a block, [512, 512], lie in a tumour nest."""
        ground = self._ground(at)
        out = np.zeros((SIDE_PX, SIDE_PX), np.bool_)
        for patch in ground.patches:
            out |= self._nest(at, patch)
        return (out & (ground.edge > 0))[HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]

    def _ground(self, at: BlockAt) -> Ground:
        plan, stroma = self._plan, self._atlases.stroma
        mottle = cut(stroma.mottle, at.x0, at.y0)
        kind = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        lymph = fine(plan.lymph, at)
        if window(plan.muscle, at).max() > -60:
            kind[fine(plan.muscle, at) + mottle > 0] = BUNDLES
        if window(plan.mucosa, at).max() > -120:
            kind[fine(plan.mucosa, at) + 2.0 * mottle > 0] = LAMINA
        kind[lymph + 0.012 * mottle > 0.4] = LAMINA
        if window(plan.tumour, at).max() > -240:
            kind[fine(plan.tumour, at) + 3.0 * mottle > -60] = REACTIVE
        edge = fine(plan.tissue, at) + cut(stroma.ragged, at.x0, at.y0)
        return Ground(kind, lymph, edge, plan.regions.patches(at, mottle))

    def _paint_ground(self, canvas: Canvas, patch: Patch, ground: Ground) -> None:
        stroma = self._atlases.stroma
        for kind in np.unique(ground.kind).tolist():
            k = TEXTURE[kind]
            eosin = cut(stroma.eosin[k], patch.x0, patch.y0)
            haem = cut(stroma.haem[k], patch.x0, patch.y0)
            canvas.paint(patch.own & (ground.kind == kind), eosin, haem)

    def _lie_in(self, objects: Objects, at: BlockAt, patch: Patch, layer: str) -> Mask:
        """For each object number: does its copy nearest the block lie where the plan wants it?"""
        plan, period = self._plan, objects.period
        cells = []
        for centre, atlas0, slide0 in (
            (objects.cy, patch.y0, at.y0),
            (objects.cx, patch.x0, at.x0),
        ):
            middle = atlas0 + SIDE_PX // 2
            copy = centre.astype(np.float64)
            copy += period * np.rint((middle - copy) / period) - atlas0 + slide0
            cells.append(np.clip(copy // CELL_PX + 1, 0, plan.tissue.shape[0] - 1).astype(int))
        where = tuple(cells)
        inside = plan.mucosa if layer == "mucosa" else plan.fat
        ok = (inside[where] > objects.reach) & (plan.tumour[where] < -0.6 * objects.reach)
        ok &= (plan.regions.label[where] == patch.region) & (plan.regions.border[where] > SEPTUM_PX)
        return np.concatenate([[False], ok])

    def _paint_objects(self, canvas: Canvas, patch: Patch, objects: Objects, chosen: Mask) -> None:
        mask = chosen[cut(objects.number, patch.x0, patch.y0)] & patch.own
        eosin = cut(objects.eosin, patch.x0, patch.y0)
        canvas.paint(mask, eosin, cut(objects.haem, patch.x0, patch.y0))
        canvas.free &= ~mask

    def _nest(self, at: BlockAt, patch: Patch) -> Mask:
        """The tumour nests of a patch: whole in the tumour, scattered clusters at its edge."""
        plan, nests = self._plan, self._atlases.nests
        if nests is None or window(plan.tumour, at).max() < -240:
            return np.zeros((SIDE_PX, SIDE_PX), np.bool_)
        grown = fine(plan.tumour, at) / np.float32(self._px)
        rise = np.clip((100 - grown) / 75, 0, None) + np.clip((-60 - grown) / 15, 0, None)
        rise += fine(plan.sparse, at)
        rise += np.clip((90 - patch.inside) * REGION_EDGE, 0, None)
        level = cut(nests.level, patch.x0, patch.y0) * np.float32(LEVEL_STEP)
        return np.asarray((level > rise) & patch.own)

    def _paint_nests(self, canvas: Canvas, at: BlockAt, patch: Patch) -> Mask:
        nest, nests = self._nest(at, patch), self._atlases.nests
        if nests is not None and nest.any():
            eosin = cut(nests.eosin, patch.x0, patch.y0)
            canvas.paint(nest, eosin, cut(nests.haem, patch.x0, patch.y0))
            canvas.free &= ~nest
        return nest

    def _paint_surface(self, canvas: Canvas, at: BlockAt, ground: Ground) -> Mask:
        """A layer of epithelium on the mucosa; where its nuclei may lie."""
        edge, px = ground.edge, self._px
        layer = (edge > 0) & (edge < 13 * px) & (ground.kind == LAMINA)
        if window(self._plan.mucosa, at).max() < 0 or not layer.any():
            return np.zeros((SIDE_PX, SIDE_PX), np.bool_)
        layer &= (fine(self._plan.mucosa, at) > 90 * px) & (canvas.eosin > 0)
        canvas.eosin[layer], canvas.haem[layer] = 62, 40
        canvas.free &= ~layer
        return np.asarray(layer & (edge > 5.5 * px) & (edge < 11 * px))

    def _trim(self, canvas: Canvas, at: BlockAt, edge: F32) -> None:
        """Thin the tissue out towards its outline and take away what lies beyond."""
        thick = fine(self._plan.thick, at)
        if window(self._plan.tissue, at).min() < RAGGED_PX * 2:
            thick = thick * np.clip(edge * 0.35, 0, 1)
            canvas.free &= edge > 0
            canvas.eosin[edge <= 0] = 0
        canvas.scale(thick)

    def _stamp_ground(self, canvas: Canvas, patch: Patch, ground: Ground) -> None:
        stroma, bank = self._atlases.stroma, self._atlases.stamps.bank
        density = SPINDLE_DENSITY[ground.kind]
        for points, in_muscle in ((stroma.nuclei, False), (stroma.muscle_nuclei, True)):
            i, x, y = points.near(patch.x0, patch.y0)
            keep = canvas.free[y, x] & patch.own[y, x] & (points.lot[i] < density[y, x])
            keep &= ((ground.kind[y, x] == BUNDLES) == in_muscle) & (canvas.eosin[y, x] > 25)
            keep &= canvas.eosin[y, x] < RED_CELL
            canvas.stamp(bank, points.stamp[i[keep]], x[keep], y[keep])
        i, x, y = stroma.vessel_nuclei.near(patch.x0, patch.y0)
        keep = canvas.free[y, x] & patch.own[y, x] & (ground.kind[y, x] != BUNDLES)
        canvas.stamp(bank, stroma.vessel_nuclei.stamp[i[keep]], x[keep], y[keep])
        i, x, y = stroma.cells.near(patch.x0, patch.y0)
        density = ground.lymph[y, x] + CELL_DENSITY[ground.kind[y, x]]
        keep = canvas.free[y, x] & patch.own[y, x] & (stroma.cells.lot[i] < density)
        canvas.stamp(bank, stroma.cells.stamp[i[keep]], x[keep], y[keep])

    def _stamp_crypts(self, canvas: Canvas, patch: Patch, chosen: Mask, tissue: Mask) -> None:
        points = self._atlases.crypts[patch.region % 2].nuclei
        i, x, y = points.near(patch.x0, patch.y0)
        keep = chosen[points.owner[i]] & patch.own[y, x] & tissue[y, x]
        canvas.stamp(self._atlases.stamps.bank, points.stamp[i[keep]], x[keep], y[keep])

    def _stamp_nests(self, canvas: Canvas, patch: Patch, nest: Mask) -> None:
        if self._atlases.nests is None or not nest.any():
            return
        points = self._atlases.nests.nuclei
        i, x, y = points.near(patch.x0, patch.y0)
        keep = nest[y, x]
        canvas.stamp(self._atlases.stamps.bank, points.stamp[i[keep]], x[keep], y[keep])

    def _fold(self, canvas: Canvas, at: BlockAt) -> None:
        if self._plan.folds.lies_on(at):
            mottle = cut(self._atlases.stroma.mottle, at.x0, at.y0)
            self._plan.folds.double(canvas.eosin, at, mottle, RED_CELL - 1)
            self._plan.folds.double(canvas.haem, at, mottle, 255)
