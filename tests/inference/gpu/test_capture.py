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
from wsi_ai.inference.torch.forward import open_forward  # noqa: E402
from wsi_ai.inference.torch.weights import load_module, load_whole, name_device  # noqa: E402
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


def exported(folder: Path) -> Path:
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(Places().eval(), (torch.zeros(2, 4, 3),)), path)
    return path


def devices_in(module: Any) -> set[str]:
    return {str(n.kwargs["device"]) for n in module.graph.nodes if "device" in n.kwargs}


def test_an_exported_network_makes_its_tensors_where_it_is_moved_to(tmp_path: Path) -> None:
    path = exported(tmp_path)
    assert devices_in(load_whole(path, "pt2", trusted=True)) == {"cpu"}
    moved = load_whole(path, "pt2", trusted=True, device=META)
    assert devices_in(moved) == {"meta"}
    assert moved(torch.empty(2, 4, 3, device="meta")).device == META


def test_a_traced_network_makes_its_tensors_where_it_is_moved_to(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(torch.nn.Sequential(Places()).eval(), torch.zeros(2, 4, 3))
        file = io.BytesIO()
        torch.jit.save(traced, file)
        file.seek(0)
        loaded = torch.jit.load(file)
    assert named(loaded) == {"cpu"}
    name_device(loaded, torch.device("cuda", 1))
    assert named(loaded) == {"cuda:1"}


def named(module: Any) -> set[str]:
    found = set[str]()
    for part in module.modules():
        graph = part.graph
        for node in graph.findAllNodes("prim::Constant"):
            if node.output().type().kind() == "DeviceObjType":
                found.add(node.s("value"))
    return found
