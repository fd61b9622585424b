"""Which device ``--device auto`` takes: measured once, kept, and no more than a choice of speed."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from tests.models.test_parity import with_golden
from tests.models_for_tests import product_network, red_network, write_model
from wsi_ai.cli import model_folders
from wsi_ai.core.cards import ModelCard, Precision, RuntimeRequest
from wsi_ai.core.contracts import Runtime
from wsi_ai.core.values import Predictions, TileBatch
from wsi_ai.errors import DeviceError
from wsi_ai.inference.registry import host_devices, open_runtime
from wsi_ai.models.fastest.choice import ByRule, Choice, Measured, NotMeasured, Rate
from wsi_ai.models.fastest.choose import choose, fastest, known, slower_than_fp32
from wsi_ai.models.fastest.contender import serve
from wsi_ai.models.fastest.contest import Contender, contest
from wsi_ai.models.fastest.kept import keep, kept, place_of
from wsi_ai.models.fastest.messages import Ready, Refused, Took, Turn
from wsi_ai.models.fastest.open_fastest import choice_record, open_chosen, open_fastest
from wsi_ai.models.fastest.question import digest_of, question_of
from wsi_ai.models.fastest.scheduled import Scheduled
from wsi_ai.models.manifest import load_card

TWO, AUTO = ("cpu", "openvino"), RuntimeRequest()
NOW = "2026-11-29T00:00:00.000Z"


@dataclass
class Rates:
    """A contest that ended like this."""

    given: tuple[Rate, ...]
    asked: int = 0
    takes_s: float = 0.0

    def __call__(
        self, card: ModelCard, request: RuntimeRequest, devices: Sequence[str]
    ) -> tuple[Rate, ...]:
        self.asked += 1
        time.sleep(self.takes_s)
        return self.given


def rates(cpu: float | None, openvino: float | None, reason: str = "refused") -> tuple[Rate, ...]:
    each = zip(TWO, (cpu, openvino), strict=True)
    return tuple(Rate(name, f"{name} 1", n, "" if n else reason) for name, n in each)


@pytest.fixture
def choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are kept."""
    folder = tmp_path / "choices"
    monkeypatch.setenv("WSI_AI_CHOICES", str(folder))
    return folder


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    return load_card(write_model(tmp_path / "m", red_network()))


def device(choice: Choice) -> str:
    return choice.device if isinstance(choice, Measured) else "rule"


@pytest.mark.usefixtures("choices")
@pytest.mark.parametrize(("cpu", "openvino"), [(16.1, 9.7), (9.7, 16.1)])
def test_the_faster_device_is_taken_and_measured_only_once(
    card: ModelCard, cpu: float, openvino: float
) -> None:
    contest = Rates(rates(cpu, openvino))
    first, second = (choose(card, AUTO, TWO, contest) for _ in range(2))
    assert device(first) == device(second) == TWO[cpu < openvino]
    assert contest.asked == 1
    assert [first.as_record()["measured"], second.as_record()["measured"]] == ["now", "earlier"]
    assert second == replace(first, kept=True)  # type: ignore[arg-type]
    assert [row["tiles_per_s"] for row in second.as_record()["rates"]] == [cpu, openvino]


def test_of_two_that_are_even_the_usual_one_is_taken() -> None:
    assert device(fastest(rates(100.0, 101.0))) == "cpu"
    assert device(fastest(rates(100.0, 104.0))) == "openvino"


@pytest.mark.usefixtures("choices")
def test_a_device_that_changes_a_flag_is_not_taken_however_fast_and_it_is_said_why(
    card: ModelCard,
) -> None:
    reason = "openvino 1 changes the flag of 2 of 9 golden tiles of this model"
    choice = choose(card, AUTO, TWO, Rates(rates(10.0, None, reason)))
    assert device(choice) == "cpu"
    assert choice.as_record()["rates"][1]["reason"] == reason


@pytest.mark.usefixtures("choices")
def test_where_no_device_ran_it_is_the_rule_and_nothing_is_kept(card: ModelCard) -> None:
    contest = Rates(rates(None, None))
    assert [device(choose(card, AUTO, TWO, contest)) for _ in range(2)] == ["rule", "rule"]
    assert contest.asked == 2


def _is_a_folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def _changed(**fields: object) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        said = json.loads(place.read_text())
        said["choice"].update(fields)
        place.write_text(json.dumps(said))

    return change


def _of_another_machine(place: Path) -> None:
    said = json.loads(place.read_text())
    said["question"]["processor"]["name"] = "another"
    place.write_text(json.dumps(said))


@pytest.mark.usefixtures("choices")
@pytest.mark.parametrize(
    "damage",
    [
        lambda place: place.write_bytes(b""),
        lambda place: place.write_bytes(place.read_bytes()[:-40]),
        lambda place: place.write_bytes(b"\xff\0" * 9),
        lambda place: place.write_text("[]"),
        lambda place: place.write_bytes(b" " * (1 << 20)),
        _changed(device="cuda"),
        _changed(device="openvino", rates=[]),
        _changed(rates=[{"device": "cpu", "runtime": "", "rate": "fast", "reason": ""}]),
        _changed(rates="cpu"),
        _of_another_machine,
    ],
)
def test_a_damaged_or_foreign_file_is_measured_anew_and_replaced(
    card: ModelCard, damage: Callable[[Path], None]
) -> None:
    contest = Rates(rates(10.0, 20.0))
    choose(card, AUTO, TWO, contest)
    damage(place_of(question_of(card, AUTO, TWO)))
    assert [device(choose(card, AUTO, TWO, contest)) for _ in range(2)] == ["openvino"] * 2
    assert contest.asked == 2


@pytest.mark.usefixtures("choices")
def test_what_cannot_be_kept_is_the_rule_and_no_error(card: ModelCard) -> None:
    contest = Rates(rates(10.0, 20.0))
    choose(card, AUTO, TWO, contest)
    _is_a_folder(place_of(question_of(card, AUTO, TWO)))
    choice = choose(card, AUTO, TWO, contest)
    assert isinstance(choice, ByRule)
    assert "cannot be kept" in choice.reason


def test_where_nothing_can_be_kept_nothing_is_measured(
    card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two runs could choose differently, and ask every slide anew."""
    monkeypatch.setenv("WSI_AI_CHOICES", "/dev/null/choices")
    contest = Rates(rates(10.0, 20.0))
    assert device(choose(card, AUTO, TWO, contest)) == "rule"
    assert contest.asked == 0


@pytest.mark.usefixtures("choices")
def test_of_two_that_ask_at_once_one_measures_and_both_have_its_choice(card: ModelCard) -> None:
    contest, found = Rates(rates(10.0, 20.0), takes_s=0.3), list[Choice]()

    def ask() -> None:
        found.append(choose(card, AUTO, TWO, contest))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert contest.asked == 1
    assert [device(choice) for choice in found] == ["openvino"] * 3


def test_nothing_is_left_beside_what_is_kept(card: ModelCard, choices: Path) -> None:
    choose(card, AUTO, TWO, Rates(rates(10.0, 20.0)))
    assert [path.suffix for path in choices.iterdir()] == [".json"]


def test_another_precision_batch_machine_or_model_is_another_question(
    card: ModelCard, tmp_path: Path
) -> None:
    other = tmp_path / "cpuinfo"
    other.write_text("model name : Old\nflags : sse2\n")
    same = question_of(card, AUTO, TWO)
    others = [
        question_of(card, replace(AUTO, precision=Precision.BF16), TWO),
        question_of(card, replace(AUTO, batch_size=4), TWO),
        question_of(card, AUTO, ("cpu",)),
        question_of(card, AUTO, TWO, other),
        question_of(replace(card, ref=replace(card.ref, sha256="0" * 64)), AUTO, TWO),
        question_of(replace(card, golden_sha256="0" * 64), AUTO, TWO),
    ]
    assert len({digest_of(one) for one in (same, *others)}) == 1 + len(others)
    assert digest_of(question_of(card, AUTO, TWO)) == digest_of(same)
    assert digest_of(question_of(replace(card, roles=()), AUTO, TWO)) == digest_of(same)


@dataclass
class Wrong:
    """A runtime that is fast and says the opposite."""

    runtime: Runtime

    @property
    def card(self) -> ModelCard:
        return self.runtime.card

    batch_size = 4
    description = "wrong 1/cpu/fp32"

    def predict(self, batches: Iterable[TileBatch]) -> Iterator[Predictions]:
        for found in self.runtime.predict(batches):
            yield replace(found, scores=np.float32(1) - found.scores)


def served(card: ModelCard, opened: Callable[[ModelCard, RuntimeRequest], Runtime]) -> object:
    """The first answer of a contender, in a thread of this process."""
    ours, theirs = Pipe()
    with ours, theirs:
        thread = threading.Thread(target=serve, args=(theirs, opened))
        thread.start()
        ours.send((card, RuntimeRequest("cpu")))
        answer: object = ours.recv()
        if isinstance(answer, Ready):
            ours.send(Turn(0.0))
            took = ours.recv()
            assert isinstance(took, Took)
            assert took.tiles == 32
        ours.close()
        thread.join()
    return answer


def test_a_contender_is_held_to_the_golden_tiles_before_it_is_timed(tmp_path: Path) -> None:
    card = load_card(with_golden(tmp_path / "m"))

    def wrong(card: ModelCard, request: RuntimeRequest) -> Runtime:
        return Wrong(open_runtime(card, request))

    refused = served(card, wrong)
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("wrong 1/cpu/fp32 changes the flag of")
    assert "--device" not in refused.reason, "who reads it has not asked for one"
    assert isinstance(served(card, open_runtime), Ready)


def test_a_contender_that_cannot_open_says_why(card: ModelCard) -> None:
    def broken(card: ModelCard, request: RuntimeRequest) -> Runtime:
        raise DeviceError("no instructions for it; give --precision fp32")

    assert served(card, broken) == Refused("no instructions for it")


def test_each_device_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Beside it one that is not there: it has no rate, and the others have theirs."""
    card = load_card(write_model(tmp_path / "m", product_network()))
    here, gone = contest(card, AUTO, ("cpu", "nowhere"))
    assert (here.tiles_per_s or 0) > 0
    assert here.runtime.startswith("onnxruntime")
    assert gone.tiles_per_s is None
    assert "nothing installed runs onnx models on device 'nowhere'" in gone.reason


def test_a_device_whose_process_crashes_is_not_taken_and_the_run_goes_on(card: ModelCard) -> None:
    with ExitStack() as held:
        one = held.enter_context(Contender(RuntimeRequest("cpu")))
        one.open(card)
        assert one.process is not None
        os.kill(one.process.pid, signal.SIGSEGV)
        assert not one.wait()
    assert one.rate == Rate("cpu", "", None, "its process ended by SIGSEGV")


def test_a_process_that_the_system_ended_says_nothing_of_its_device(card: ModelCard) -> None:
    with ExitStack() as held:
        one = held.enter_context(Contender(RuntimeRequest("cpu")))
        assert one.process is not None
        os.kill(one.process.pid, signal.SIGKILL)
        with pytest.raises(NotMeasured):
            one.wait()


@pytest.mark.usefixtures("choices")
def test_where_memory_is_short_it_is_the_rule_and_it_is_said_why(card: ModelCard) -> None:
    def short(card: ModelCard, request: RuntimeRequest, devices: Sequence[str]) -> tuple[Rate, ...]:
        return contest(card, request, devices, memory=1 << 20)

    choice = choose(card, AUTO, TWO, short)
    assert isinstance(choice, ByRule)
    assert "1 MiB of free memory" in choice.as_record()["reason"]
    assert kept(question_of(card, AUTO, TWO)) is None


def test_a_device_that_was_asked_for_is_never_chosen(card: ModelCard, choices: Path) -> None:
    runtime = open_fastest(card, RuntimeRequest("cpu"))
    assert choice_record(runtime) is None
    assert not choices.exists()


def test_a_choice_that_does_not_open_any_more_is_the_rule(card: ModelCard) -> None:
    choice = Measured("nowhere", (Rate("nowhere", "x", 9.0),), NOW)
    runtime = open_chosen(card, AUTO, choice)
    assert "/cpu/" in runtime.description
    record = choice_record(runtime)
    assert record is not None
    assert record["by"] == "rule"
    assert "does not open" in record["reason"]


@pytest.fixture
def two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that is called openvino is installed, and does nothing."""
    package = tmp_path / "site" / "openvino"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(package.parent))


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="auto is CUDA here")
@pytest.mark.usefixtures("choices", "two_devices")
def test_auto_opens_what_was_measured_in_the_precision_that_was_asked_for(card: ModelCard) -> None:
    assert host_devices(card) == list(TWO)
    keep(question_of(card, AUTO, TWO), Measured("cpu", rates(20.0, 10.0), NOW))
    runtime = open_fastest(card, AUTO)
    assert runtime.description.endswith("/cpu/fp32")
    assert choice_record(runtime) == {
        "by": "measurement",
        "device": "cpu",
        "measured": "earlier",
        "at": NOW,
        "rates": [
            {"device": "cpu", "runtime": "cpu 1", "tiles_per_s": 20.0, "reason": ""},
            {"device": "openvino", "runtime": "openvino 1", "tiles_per_s": 10.0, "reason": ""},
        ],
    }
    pixels = np.full((3, 64, 64, 3), 255, np.uint8)
    (found,) = runtime.predict([TileBatch("s", np.arange(3), pixels)])
    assert found.scores.shape == (3, 1)
    with pytest.raises(DeviceError, match="do not run in int8"):
        open_fastest(card, replace(AUTO, precision=Precision.INT8))


@pytest.mark.usefixtures("choices", "two_devices")
def test_int8_that_is_slower_than_fp32_is_said_and_not_changed(card: ModelCard) -> None:
    int8 = replace(
        card,
        ref=replace(card.ref, sha256="8" * 64),
        precision=Precision.INT8,
        original_sha256=card.ref.sha256,
    )
    slow, quick = (Measured("cpu", rates(n, None), NOW) for n in (10.0, 30.0))
    assert slower_than_fp32(int8, slow) == "", "fp32 was not measured"
    keep(question_of(card, AUTO, TWO), Measured("cpu", rates(20.0, None), NOW))
    assert known(card, AUTO) is not None
    assert slower_than_fp32(int8, quick) == ""
    said = slower_than_fp32(int8, slow)
    assert said == "int8 is slower than fp32 here: 10 and 20 tiles/s"


@pytest.mark.usefixtures("choices", "two_devices")
def test_models_show_says_what_auto_takes_here(
    card: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = card.weights.parent
    assert model_folders.show(folder) == 0
    assert "auto, fp32" not in capsys.readouterr().out
    keep(question_of(card, AUTO, TWO), Measured("cpu", rates(20.0, None), NOW))
    assert model_folders.show(folder) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("auto, fp32"))
    assert line.split(maxsplit=2)[2] == (
        f"cpu of cpu: 20 tiles/s (cpu 1); openvino: refused, measured {NOW}"
    )


def turns(contender: Contender, *took: Took) -> Contender:
    contender.turns += took
    return contender


def test_of_a_batch_that_takes_long_there_is_one_turn_unless_others_take_the_processors() -> None:
    """What is measured while others compute is kept, too: so it is measured more than once."""
    one = Contender(AUTO)
    quiet, disturbed = Took(32, 2.0, 0.9), Took(32, 9.0, 0.2)
    assert one.goes_on
    assert not turns(replace(one, turns=[]), quiet).goes_on
    assert turns(replace(one, turns=[]), disturbed).goes_on
    assert not turns(replace(one, turns=[]), disturbed, disturbed, disturbed).goes_on
    assert turns(replace(one, turns=[]), *[Took(32, 0.2)] * 4).goes_on
    assert not turns(replace(one, turns=[]), *[Took(32, 0.2)] * 5).goes_on


def test_time_that_other_work_took_is_no_part_of_a_rate() -> None:
    alone, beside = Took(32, 1.0), Took(32, 4.0, 0.25)
    rates = [turns(Contender(AUTO), *each).rate for each in ([alone] * 3, [beside] * 3)]
    assert [rate.tiles_per_s for rate in rates] == [32.0, 32.0]


def test_what_the_scheduler_says_is_the_share_of_its_time_that_a_process_ran(
    tmp_path: Path,
) -> None:
    before = Scheduled.now(tmp_path)
    for name, said in (("1", "30 10 1"), ("2", "60 20 1"), ("3", "gone")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "schedstat").write_text(said)
    assert Scheduled.now(tmp_path).share_since(before) == 0.75
    unknown = Scheduled.now(tmp_path / "nowhere")
    assert unknown.share_since(unknown) == 1.0
    assert 0 < Scheduled.now().share_since(Scheduled()) <= 1


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="auto is CUDA here")
@pytest.mark.usefixtures("choices")
def test_both_runtimes_of_the_host_are_measured_where_both_are_here(card: ModelCard) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    record = choice_record(open_fastest(card, AUTO))
    assert record is not None
    assert all(row["tiles_per_s"] > 0 for row in record["rates"])
    assert record == {**record, "by": "measurement", "measured": "now"}
