"""What of a file's word on its scale is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.core.geometry import Size, Spacing
from wsi_ai.errors import SlideError
from wsi_ai.slides.scale import LEAST_UM, MOST_UM, check_size, number, scale_of, unit_um


@given(x=st.floats(), y=st.floats(), power=st.floats())
def test_no_scale_beyond_any_scanners_is_believed(x: float, y: float, power: float) -> None:
    found = scale_of(x, y, power)
    if found.spacing is not None:
        assert found.spacing == Spacing(x, y)
        assert all(LEAST_UM < um < MOST_UM for um in (x, y))
        assert not found.doubt


@pytest.mark.parametrize(
    ("um", "power", "believed"),
    [(0.5, 20, True), (0.25, 40, True), (0.22, 20, True), (0.25, 0, True), (5.0, 20, False),
     (0.05, 20, False), (0.5, 2.5, False)],
)  # fmt: skip
def test_scale_and_magnification_must_go_together(
    um: float, power: float, believed: object
) -> None:
    found = scale_of(um, um, power)
    assert (found.spacing is not None) == believed
    assert bool(found.doubt) != believed


def test_a_unit_is_known_by_any_of_its_names() -> None:
    for name in ("um", "µm", "μm", "micrometer", "micrometre", "micrometers", "micron"):
        assert unit_um(name) == 1.0
    assert (unit_um("meter"), unit_um("m"), unit_um("nanometer")) == (1e6, 1e6, 1e-3)
    assert unit_um("pixel") == unit_um("") == 0.0


@pytest.mark.parametrize("text", ["0,25", "1_0", "0.25 um", "", None])
def test_a_part_of_a_text_is_no_number(text: object) -> None:
    assert number(text) == 0.0


def test_what_is_larger_than_any_glass_is_refused() -> None:
    check_size(Size(400_000, 200_000), Spacing(0.25, 0.25))
    with pytest.raises(SlideError, match="2097 x 2097 mm"):
        check_size(Size(1 << 22, 1 << 22), Spacing(0.5, 0.5))
    with pytest.raises(SlideError, match="more than any slide has"):
        check_size(Size(1 << 23, 1000), None)
