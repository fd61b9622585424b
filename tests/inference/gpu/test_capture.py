"""What is particular to PyTorch on a device: how a graph is captured, which precisions are taken,
and networks that have a device written into them.  On the host, and on tensors without memory."""

import io
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.inference.torch_models import Nets, Red, write_torch_model  # noqa: E402
from wsi_ai.core.cards import Precision  # noqa: E402
from wsi_ai.errors import DeviceError  # noqa: E402
from wsi_ai.inference.gpu.runtime import ring_shape  # noqa: E402
from wsi_ai.inference.gpu.torch import captured, check_precision  # noqa: E402
from wsi_ai.inference.torch.devices import exported_for, name_device  # noqa: E402
from wsi_ai.inference.torch.forward import open_forward  # noqa: E402
from wsi_ai.inference.torch.weights import load_module  # noqa: E402
from wsi_ai.models.manifest import load_card  # noqa: E402

HOST, META = torch.device("cpu"), torch.device("meta")


class FakeCuda:
    """What a capture asks of ``torch.cuda``; like it, a failed one leaves its stream current."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.current, self.modes = fails, "default", list[str]()
        self.CUDAGraph = lambda: types.SimpleNamespace(replay=lambda: None)

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def graph(self, graph: Any, *, stream: Any, capture_error_mode: str = "global") -> Any:
        self.modes.append(capture_error_mode)
        self.current = stream
        yield
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")


def forward_and_shape(folder: Path) -> Any:
    content = Nets(Red(), torch.zeros(2, 3, 64, 64)).pt2()
    card = load_card(write_torch_model(folder / "m", content, "pt2"))
    return open_forward(load_module(card), card, Precision.FP32, HOST), ring_shape(card, 2)


@pytest.mark.parametrize(("fails", "how"), [(False, "graph"), (True, "eager")])
def test_a_capture_concerns_its_own_thread_and_leaves_the_stream_as_it_was(
    tmp_path: Path, how: str, *, fails: bool
) -> None:
    cuda = FakeCuda(fails=fails)
    forward, shape = forward_and_shape(tmp_path)
    stream = types.SimpleNamespace(synchronize=lambda: None)
    kernel, found = captured(cuda, forward, shape, stream)
    assert found == how
    assert cuda.modes == ["thread_local"]
    assert cuda.current == "default"
    outputs = torch.zeros(2, 1)
    kernel(torch.full(shape.tiles, 255, dtype=torch.uint8), outputs)
    assert how == "graph" or outputs.flatten().tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("capability", [(7, 0), (7, 5)])
def test_a_device_that_would_emulate_bf16_is_asked_itself_and_refused(
    capability: tuple[int, int],
) -> None:
    with pytest.raises(DeviceError, match="no instructions for bf16"):
        check_precision(Precision.BF16, capability)
    check_precision(Precision.FP16, capability)
    check_precision(Precision.BF16, (9, 0))


class Places(torch.nn.Module):
    """Makes a tensor where its input lies, as encoders do for the places of their tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(3, 2)

    def forward(self, tiles: Any) -> Any:
        places = torch.arange(tiles.shape[1], device=tiles.device, dtype=torch.float32)
        return self.line(tiles.float() + places[None, :, None])


class Hidden(torch.nn.Module):
    """Begins with a state of its own: pytorch/pytorch#151010."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = torch.nn.LSTM(3, 4, batch_first=True)

    def forward(self, tiles: Any) -> Any:
        return self.cells(tiles)[0]


class Embedded(torch.nn.Module):
    """Looks numbers up that it makes itself: pytorch/pytorch#153056."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 3)
        self.register_buffer("scale", torch.ones(3))

    def forward(self, tiles: Any) -> Any:
        numbers = torch.zeros(4, dtype=torch.long, device=tiles.device)
        ones = torch.full((3,), 1.0, device=tiles.device)
        return tiles * self.scale + self.table(numbers) + ones


class Constant(torch.nn.Module):
    """Holds a tensor that is neither weight nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed = torch.arange(3.0)

    def forward(self, tiles: Any) -> Any:
        return tiles + self.fixed


NETWORKS = [Places, Hidden, Embedded, Constant]


def exported(network: Any) -> Any:
    """As it comes out of a file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, about how it keeps an LSTM's weights
        torch.export.save(torch.export.export(network().eval(), (torch.zeros(2, 4, 3),)), file)
        file.seek(0)
        return torch.export.load(file)


@pytest.mark.parametrize("network", NETWORKS)
def test_an_exported_network_runs_where_it_is_moved_to(network: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moved = exported_for(exported(network), META).module()
        left = exported_for(exported(network), HOST).module().to(META)
    tiles = torch.empty(2, 4, 3, device=META)
    assert moved(tiles).device == META
    with pytest.raises(RuntimeError, match="device"):
        left(tiles)


def test_a_cards_network_is_loaded_for_the_device_that_runs_it(tmp_path: Path) -> None:
    content = Nets(Red(), torch.zeros(2, 3, 64, 64)).pt2()
    card = load_card(write_torch_model(tmp_path / "m", content, "pt2"))
    module = load_module(card, device=META)
    assert module(torch.empty(2, 3, 64, 64, device=META)).device == META


def test_a_traced_network_makes_its_tensors_where_it_is_moved_to() -> None:
    loaded = traced(torch.nn.Sequential(Places()))
    assert constants(loaded, "DeviceObjType") == {"cpu"}
    name_device(loaded, torch.device("cuda", 1))
    assert constants(loaded, "DeviceObjType") == {"cuda:1"}


def test_the_constants_of_a_traced_network_move_with_it() -> None:
    loaded = traced(torch.nn.Sequential(Constant(), Constant()))
    assert constants(loaded, "TensorType") == {"cpu"}
    name_device(loaded, META)
    assert constants(loaded, "TensorType") == {"meta"}


def traced(network: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, that this format is on its way out
        made = torch.jit.trace(network.eval(), torch.zeros(2, 4, 3))
        file = io.BytesIO()
        torch.jit.save(made, file)
        file.seek(0)
        return torch.jit.load(file)


def constants(module: Any, kind: str) -> set[str]:
    """Which devices constants of that kind name, or lie on."""
    found = set[str]()
    for part in module.modules():
        graph = part.graph
        for node in graph.findAllNodes("prim::Constant"):
            if node.output().type().kind() == kind and node.hasAttribute("value"):
                at = node.s("value") if kind == "DeviceObjType" else node.t("value").device
                found.add(str(at))
    return found
