"""From a file of PyTorch to what its card can say."""

import io
import json
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.inference.torch_models import Nets, Red  # noqa: E402
from wsi_ai.core.cards import Activation, Layout, Task  # noqa: E402
from wsi_ai.errors import ModelError  # noqa: E402
from wsi_ai.models.drafts import draft_table, inspect_weights  # noqa: E402


class Three(torch.nn.Module):
    """Three scores; of tiles of 64 px alone, where it is ``fixed``."""

    def __init__(self, last: torch.nn.Module | None = None, *, fixed: bool = False) -> None:
        super().__init__()
        self.fixed, self.last = fixed, last or torch.nn.Identity()
        self.layer = torch.nn.Linear(3 * 64 * 64 if fixed else 3, 3)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        wide = tiles.flatten(1) if self.fixed else tiles.mean((2, 3))
        return self.last(self.layer(wide))


def file_of(folder: Path, network: torch.nn.Module, kind: str, side: int = 64) -> Path:
    sample = torch.zeros(2, 3, side, side)
    nets = Nets(network, sample)
    path = folder / f"net.{kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path.write_bytes(nets.pt2() if kind == "pt2" else nets.torchscript())
    return path


@pytest.mark.parametrize("kind", ["pt2", "torchscript"])
@pytest.mark.parametrize(
    ("last", "left"),
    [(None, None), (torch.nn.Softmax(1), Activation.NONE), (torch.nn.Sigmoid(), Activation.NONE)],
)
def test_a_program_says_its_classes_its_size_and_its_activation(
    tmp_path: Path, kind: str, last: torch.nn.Module | None, left: Activation | None
) -> None:
    seen = inspect_weights(file_of(tmp_path, Three(last, fixed=True), kind))
    assert (seen.format, seen.layout, seen.dtype) == (kind, Layout.NCHW, "float32")
    assert (seen.size_px, seen.shape, seen.activation) == (64, (3,), left)


def test_a_program_for_any_size_has_its_size_asked_for(tmp_path: Path) -> None:
    seen = inspect_weights(file_of(tmp_path, Red(), "torchscript"))
    assert (seen.size_px, seen.shape, seen.activation) == (None, (1,), None)


def test_a_program_exported_for_one_number_of_tiles_says_it(tmp_path: Path) -> None:
    program = torch.export.export(Red().eval(), (torch.zeros(1, 3, 64, 64),))
    torch.export.save(program, tmp_path / "one.pt2")
    seen = inspect_weights(tmp_path / "one.pt2")
    assert (seen.batch, seen.size_px, seen.shape) == (1, 64, (1,))
    assert inspect_weights(file_of(tmp_path, Red(), "pt2")).batch is None


def test_the_config_of_a_hub_model_beside_its_weights_is_read(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    arguments = {"img_size": 64, "global_pool": "", "act_layer": "SiLU", "num_classes": 0}
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_features": 192,
        "model_args": arguments,
        "pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.7, 0.6, 0.7], "std": [0.2] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    state = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0).state_dict()
    seen = inspect_weights(saved(tmp_path, state))
    assert (seen.architecture, seen.size_px, seen.shape) == (
        "timm/vit_tiny_patch16_224",
        64,
        (192,),
    )
    table = draft_table("vit", seen, Task.EMBEDDING)
    assert table["weights"]["arguments"] == {
        "img_size": 64, "global_pool": "", "act_layer": "SiLU",
    }  # fmt: skip
    assert table["weights"]["pool"].startswith("TODO")
    assert table["input"]["mean"] == [0.7, 0.6, 0.7]
    (tmp_path / "config.json").write_text("[1]")
    assert inspect_weights(saved(tmp_path, state)).architecture is None


def test_a_program_of_planes_last_and_bytes_is_recognised(tmp_path: Path) -> None:
    network = Red("nhwc", "uint8")
    content = Nets(network, torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).torchscript()
    (tmp_path / "a.pt").write_bytes(content)
    seen = inspect_weights(tmp_path / "a.pt")
    assert (seen.layout, seen.dtype) == (Layout.NHWC, "uint8")


def saved(folder: Path, what: object, suffix: str = "pt") -> Path:
    path = folder / f"weights.{suffix}"
    if suffix == "safetensors":
        save = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save
        path.write_bytes(save(what))
        return path
    buffer = io.BytesIO()
    torch.save(what, buffer)
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("torchvision/resnet18", "pt"),
        ("torchvision/resnet18", "safetensors"),
        ("torchvision/densenet121", "pt"),
        ("timm/vit_tiny_patch16_224", "safetensors"),
    ],
)
def test_a_state_dict_is_recognised_by_its_tensors(tmp_path: Path, name: str, suffix: str) -> None:
    library, _, model = name.partition("/")
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    make = module.models.get_model if library == "torchvision" else module.create_model
    state = make(model, num_classes=5).state_dict()
    seen = inspect_weights(saved(tmp_path, state, suffix))
    assert (seen.format, seen.architecture, seen.shape) == ("state-dict", name, (5,))
    assert seen.activation is None
    wrapped = {"epoch": 1, "state_dict": {f"module.{key}": v for key, v in state.items()}}
    if suffix == "pt":
        assert inspect_weights(saved(tmp_path, wrapped)).architecture == name


def test_a_state_dict_of_nobodys_network_has_its_architecture_asked_for(tmp_path: Path) -> None:
    seen = inspect_weights(saved(tmp_path, Three().state_dict()))
    assert (seen.architecture, seen.shape) == (None, (None,))
    almost = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)).state_dict()
    assert inspect_weights(saved(tmp_path, almost)).architecture is None


def test_a_whole_network_is_looked_into_only_where_it_is_trusted(tmp_path: Path) -> None:
    path = saved(tmp_path, Three())
    with pytest.raises(ModelError, match="runs whatever code its author put in; give --trust-pick"):
        inspect_weights(path)
    seen = inspect_weights(path, trusted=True)
    assert (seen.format, seen.shape) == ("pickle", (3,))


class Boom:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("boom"),)


def test_inspecting_runs_no_code_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, {"weight": Boom()})
    with pytest.raises(ModelError, match="holds more than tensors"):
        inspect_weights(path)
    assert not Path("boom").exists()


@pytest.mark.parametrize(
    ("what", "told"),
    [({"epoch": 3}, "holds more than tensors: epoch"), ([1, 2], "holds no tensors by name")],
)
def test_a_file_without_tensors_is_told(tmp_path: Path, what: object, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        inspect_weights(saved(tmp_path, what))
    (tmp_path / "broken.pt").write_bytes(b"\x80\x02broken")
    with pytest.raises(ModelError, match="does not load"):
        inspect_weights(tmp_path / "broken.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="does not load"):
        inspect_weights(tmp_path / "broken.safetensors")


def test_of_a_network_that_takes_no_tile_the_first_real_error_is_told(tmp_path: Path) -> None:
    """As of one that was traced on a GPU: its constants are there."""

    class Elsewhere(torch.nn.Module):
        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            assert tiles.shape[1] == 3, "made for cuda:0"
            return tiles.to("meta") + tiles

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Elsewhere()).save(str(tmp_path / "a.pt"))
    with pytest.raises(ModelError, match=r"takes no RGB tiles of .* px: .*(device|meta)"):
        inspect_weights(tmp_path / "a.pt")
