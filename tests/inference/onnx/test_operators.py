"""A file's operators are counted as the onnx package counts them."""

from collections import Counter
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models_for_tests import product_network, red_network
from wsi_ai.inference.onnx.operators import operators

WHOLE = product_network().SerializeToString()


@pytest.mark.parametrize(
    "network", [product_network(), red_network(dtype="float32")], ids=["products", "red"]
)
def test_every_operator_of_the_graph_is_counted(tmp_path: Path, network: onnx.ModelProto) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(network.SerializeToString())
    assert operators(path) == Counter(node.op_type for node in network.graph.node)
    assert operators(path)


@given(cut=st.integers(0, 400), junk=st.binary(max_size=20))
def test_a_damaged_file_is_read_without_trouble(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(WHOLE[:cut] + junk)
    assert sum(operators(path).values()) <= 400


def test_a_file_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert not operators(tmp_path / "none.onnx")
