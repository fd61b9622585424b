"""Flags of every kind, generated."""

from typing import Any

from hypothesis import strategies as st

from wsi_ai.core.flags import Level
from wsi_ai.delivery.messages import Retraction
from wsi_ai.testing import example_body

_AWKWARD = "|^~\\&,$:;%'\"<>{}[]/ \u00e9\u00df\u4e2d\U0001f52c"
names = st.text(
    st.one_of(st.sampled_from("SAB0123456789-_."), st.sampled_from(_AWKWARD)), min_size=1
).filter(lambda text: text == text.strip())
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(
    lambda text: bool(text.strip())
)
DICOM = {"study_uid": "2.25.1", "series_uid": "2.25.2", "sop_uid": "2.25.3"}
"""A flag about a DICOM image goes out in every format; another one has no report."""
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@st.composite
def regions(draw: st.DrawFn, width: int, height: int) -> list[dict[str, Any]]:
    point = st.tuples(st.integers(0, width), st.integers(0, height)).map(list)
    return [
        {
            "region_id": f"r{number}",
            "shape": "polygon",
            "coords": "level0_px",
            "points": draw(st.lists(point, min_size=3, max_size=5)),
            "score": draw(st.floats(0, 1)),
            "area_mm2": 0.5,
        }
        for number in range(1, 1 + draw(st.integers(0, 3)))
    ]


@st.composite
def flags(draw: st.DrawFn) -> dict[str, Any]:
    """A flag that the schema allows: any level, revision and wording."""
    level = draw(st.sampled_from(Level))
    body = example_body(str(draw(st.uuids(version=4))), level, draw(st.floats(0, 1)))
    first = "not_assessed" if level is Level.NOT_ASSESSED else "raise"
    action = draw(st.sampled_from([first, "amend", "retract"]))
    revision = 1 if action == first else draw(st.integers(2, 99))
    why = draw(st.sampled_from(Retraction)).value if action == "retract" else None
    width, height = draw(st.integers(1, 99_999)), draw(st.integers(1, 99_999))
    issuer = draw(st.none() | names)
    threshold = draw(st.floats(0, 1, exclude_min=True, exclude_max=True))
    return {
        **body,
        "revision": revision,
        "action": action,
        "supersedes": None if action == first else f"evt_{draw(st.uuids()).hex}",
        "retraction_reason": why,
        "environment": draw(st.sampled_from(["research", "test", "production"])),
        "case": {"accession": {"value": draw(names), "issuer": issuer}},
        "slide": body["slide"]
        | {"slide_id": {"value": draw(names), "issuer": issuer}, "width": width, "height": height},
        "result": body["result"]
        | {
            "explanation": draw(texts),
            "threshold": body["result"]["threshold"] | {"value": threshold},
        },
        "evidence": body["evidence"] | {"regions": draw(regions(width, height))},
        "extensions": {"dicom": DICOM},
        "model": body["model"]
        | {"name": draw(names), "version": draw(names), "weights_sha256": draw(digests)},
    }
