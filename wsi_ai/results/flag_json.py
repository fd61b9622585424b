"""The canonical flag as JSON: ``schemas/triage-flag-1.1.schema.json``.

Every other wire format is made from this one.  Times are RFC 3339 in UTC with milliseconds.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import shapely

from wsi_ai import schemas
from wsi_ai.core.cards import CARD_INCOMPLETE
from wsi_ai.core.flags import STATEMENT, Check, Finding, Flag, Identity, Level, Quality, Status
from wsi_ai.core.geometry import Spacing
from wsi_ai.core.timing import timestamp
from wsi_ai.core.values import SlideInfo

SCHEMA = "triage-flag-1.1"
_MOST_REGIONS = 64
_MOST_POINTS = 24
_MOST_BYTES = 20_000  # what a receiver of webhooks can be counted on to take


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a flag was made."""

    software: str
    runtime: str
    run_id: str
    config_sha256: str
    started: datetime
    finished: datetime


def flag_json(flag: Flag, provenance: Provenance) -> dict[str, Any]:
    """The flag as a JSON object that satisfies the schema."""
    body = _body(flag, provenance)
    regions = body["evidence"]["regions"]
    while regions and len(json.dumps(body)) > _MOST_BYTES:
        regions.pop()
        body["evidence"]["truncated"] = True
    wrong = schemas.complaint(SCHEMA, body)
    if wrong:
        raise ValueError(f"the flag breaks its own schema: {wrong}")
    return body


def with_objects(flag: Flag, objects: Sequence[Mapping[str, Any]]) -> Flag:
    """The flag of a DICOM slide, naming what is written beside it."""
    if not objects:
        return flag
    named = {**_dicom(flag.slide)["dicom"], "objects": [dict(one) for one in objects]}
    return replace(flag, extensions={**flag.extensions, "dicom": named})


def _body(flag: Flag, provenance: Provenance) -> dict[str, Any]:
    assessed = flag.level is not Level.NOT_ASSESSED
    return {
        "schema_version": "1.1",
        "flag_id": flag.flag_id,
        "revision": flag.revision,
        "action": "raise" if assessed else "not_assessed",
        "supersedes": None,
        "retraction_reason": None,
        "environment": "research",
        "tenant": _tenant(flag.identity),
        "case": _case(flag.identity),
        "slide": _slide(flag.slide, flag.identity),
        "result": _result(flag),
        "evidence": _evidence(flag),
        "qc": _quality(flag.quality, flag.coverage),
        "model": {
            "name": flag.model.ref.name,
            "version": flag.model.ref.version,
            "weights_sha256": flag.model.ref.sha256,
            "manifest_sha256": flag.model.manifest_sha256,
            "runtime": provenance.runtime,
        },
        "regulatory": {
            "status": "research_use_only",
            "intended_use": flag.model.intended_use,
            "clinical_review_required": True,
            "statement": STATEMENT,
            "device_id": None,
        },
        "timestamps": {
            "started": timestamp(provenance.started),
            "finished": timestamp(provenance.finished),
            "issued": timestamp(provenance.finished),
        },
        "provenance": {
            "pipeline": provenance.software,
            "run_id": provenance.run_id,
            "config_sha256": provenance.config_sha256,
        },
        "extensions": {
            **_chosen(flag.slide),
            **_dicom(flag.slide),
            **_incomplete(flag),
            **flag.extensions,
        },
    }


def _tenant(identity: Identity | None) -> dict[str, Any] | None:
    if identity is None:
        return None
    return {"network": identity.network, "trust_ods": identity.trust}


def _case(identity: Identity | None) -> dict[str, Any] | None:
    if identity is None:
        return None
    return {"accession": {"value": identity.accession, "issuer": identity.issuer}}


def _slide(slide: SlideInfo, identity: Identity | None) -> dict[str, Any]:
    name, issuer = (identity.slide_id, identity.issuer) if identity else (slide.slide_id, None)
    told = {"block": identity.block, "stain": identity.stain} if identity else {}
    return {
        "slide_id": {"value": name, "issuer": issuer},
        **told,
        "image_sha256": slide.fingerprint,
        "mpp": _mean_um(slide.spacing),
        "width": slide.size.width,
        "height": slide.size.height,
    }


def _incomplete(flag: Flag) -> dict[str, Any]:
    return {"card_incomplete": CARD_INCOMPLETE} if flag.model.incomplete else {}


def _chosen(slide: SlideInfo) -> dict[str, Any]:
    """What a person chose of the slide's file, or against it: of most slides nothing."""
    chosen: dict[str, Any] = {"image": slide.image} if slide.image else {}
    if slide.spacing is not None and slide.stated not in (None, slide.spacing):
        chosen |= {"file_mpp": _mean_um(slide.stated), "used_mpp": _mean_um(slide.spacing)}
    return chosen


def _dicom(slide: SlideInfo) -> dict[str, Any]:
    """Which image of an archive it is; names no patient."""
    source = slide.dicom
    if source is None:
        return {}
    uids = {name: getattr(source, name) for name in ("study_uid", "series_uid", "sop_uid")}
    return {"dicom": uids | ({"image_sha256_of": "frames"} if source.frames_hashed else {})}


def _mean_um(spacing: Spacing | None) -> float | None:
    return spacing.mean_um if spacing else None


def _result(flag: Flag) -> dict[str, Any]:
    point = flag.model.point
    return {
        "level": flag.level.value,
        "explanation": flag.reason,
        "finding": {"code": point.label, "system": "https://wsi-ai.example/cs/finding"},
        "score": flag.score,
        "score_kind": "uncalibrated_score",
        "threshold": {
            "value": flag.threshold,
            "operating_point": point.chosen_for,
            "calibrated_on": point.calibrated_on,
        },
        "policy": flag.policy,
    }


def _evidence(flag: Flag) -> dict[str, Any]:
    shown = flag.findings[:_MOST_REGIONS]
    rings = [_simplified(finding) for finding in shown]
    return {
        "regions": [
            {
                "region_id": f"r{n}",
                "shape": "polygon",
                "coords": "level0_px",
                "points": ring,
                "score": finding.peak,
                "area_mm2": round(finding.area_mm2, 6),
            }
            for n, (finding, ring) in enumerate(zip(shown, rings, strict=True), 1)
        ],
        "truncated": len(shown) < len(flag.findings)
        or any(len(r) < len(f.outline) for f, r in zip(shown, rings, strict=True)),
        "n_tiles": flag.planned,
        "n_tiles_positive": flag.positive,
    }


def _simplified(finding: Finding) -> list[list[int]]:
    """The outline with at most ``_MOST_POINTS`` corners, rounded to whole pixels.  Of an intricate
    one that cannot be had without crossings, however coarse: then of its convex hull."""
    whole = shapely.Polygon(finding.outline)
    shape = _with_few_corners(whole) or _with_few_corners(whole.convex_hull) or whole.envelope
    return [[round(x), round(y)] for x, y in shape.exterior.coords[:-1]]


def _with_few_corners(whole: shapely.Polygon) -> shapely.Polygon | None:
    """The least simplified one; ``None`` where a tolerance as large as the region does not do, for
    then none does."""
    shape, (left, top, right, bottom) = whole, whole.bounds
    tolerance = max(1.0, (right - left) / 256)
    while len(shape.exterior.coords) - 1 > _MOST_POINTS:
        if tolerance > 1.5 * math.hypot(right - left, bottom - top):
            return None
        shape = whole.simplify(tolerance)
        tolerance *= 1.5
    return shape


def _quality(quality: Quality | None, coverage: float) -> dict[str, Any]:
    if quality is None:
        return {
            "status": "not_checked",
            "checks": [],
            "tissue_fraction": None,
            "analysed_fraction": coverage,
        }
    return {
        "status": quality.status.value,
        "checks": [check_json(check) for check in quality.checks if _is_in_flag(check)],
        "tissue_fraction": round(quality.tissue_fraction, 6),
        "analysed_fraction": round(coverage, 6),
    }


def check_json(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "status": check.status.value,
        "value": round(check.value, 6),
        "limit": check.limit,
        "meaning": check.meaning,
    }


def _is_in_flag(check: Check) -> bool:
    """The checks of colours and of levels are younger than the flags of 0.1: one that was passed
    changes no answer, so that an upgrade amends none that was sent.  ``run.json`` has them all."""
    return check.name not in ("colours", "levels") or check.status is not Status.PASS
