"""Results in a Sectra PACS: against a strict double of it."""

import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from tests.delivery.conftest import new_id
from tests.delivery.fhir_servers import answering
from tests.delivery.formats.flags import flags
from tests.delivery.parts import credentials
from tests.delivery.servers import HOST, until
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.events import message_of, retraction
from wsi_ai.delivery.formats import sectra
from wsi_ai.delivery.formats.event import event_for, summary_of
from wsi_ai.delivery.messages import (
    Credentials,
    Endpoint,
    Message,
    OAuth,
    Retraction,
    Secret,
    SectraSettings,
    Shapes,
    Tls,
)
from wsi_ai.delivery.outbox.revisions import Revision
from wsi_ai.delivery.posting import open_posting
from wsi_ai.delivery.sinks.sectra import SectraSink, open_sink
from wsi_ai.errors import Conflict, Paused, Refused, SinkError, TryAgain
from wsi_ai.testing import SectraPacs, SectraSlide, SinkContract, example_body, serving_pacs
from wsi_ai.testing.sectra_data import wrong_in

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CASE, LIS = "S26-1234", "S26-1234-A1-1"


def slide(name: str = "guid-1", lis: str = LIS, **more: Any) -> SectraSlide:
    return SectraSlide(name, lis, CASE, **more)


@pytest.fixture
def pacs() -> Iterator[SectraPacs]:
    with serving_pacs(SectraPacs([slide(), slide("guid-2", "S26-1234-A1-2")])) as pacs:
        yield pacs


def oauth_of(pacs: SectraPacs) -> Credentials:
    secret = Secret(pacs.password.encode())
    return Credentials(oauth=OAuth(pacs.user, secret=lambda: secret))


def endpoint_of(pacs: SectraPacs, **more: Any) -> Endpoint:
    held = more.pop("credentials", None) or oauth_of(pacs)
    return Endpoint(
        name="pacs", url=f"sectra+{pacs.url}", trusts=frozenset({"RXX"}), credentials=held,
        allowed_hosts=frozenset({HOST, "localhost"}), **more,
    )  # fmt: skip


@pytest.fixture
def sink(pacs: SectraPacs) -> Iterator[SectraSink]:
    with closing(open_sink(endpoint_of(pacs))) as sink:
        yield sink


class TestSectraSink(SinkContract):
    @pytest.fixture
    def sink(self, pacs: SectraPacs) -> Iterator[SectraSink]:
        with closing(open_sink(endpoint_of(pacs))) as sink:
            yield sink


def following(
    flag: dict[str, Any], before: dict[str, Any], action: str = "amend"
) -> dict[str, Any]:
    last = message_of(before)
    return {**flag, "revision": before["revision"] + 1, "action": action,
            "supersedes": last.event_id}  # fmt: skip


def taken_back(before: dict[str, Any]) -> dict[str, Any]:
    said = message_of(before)
    last = Revision(said.event_id, before["revision"], said.kind, Level.EXPEDITE, said.answer, None)
    return retraction(before, last, Retraction.SLIDE_MISIDENTIFIED, NOW)


def test_raised_amended_and_taken_back_is_one_result_that_changes(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    first = example_body(new_id())
    second = following(example_body(first["flag_id"], Level.STANDARD, 0.1), first)
    third = taken_back(second)
    shown = []
    for flag in (first, second, third):
        sink.send(message_of(flag), NOW)
        (result,) = pacs.results_on("guid-1")
        shown.append(result["displayResult"])
        assert sectra.parse(json.dumps(result).encode()) == summary_of(flag)
    assert "expedite" in shown[0].lower()
    assert "RETRACTED" in shown[2]
    assert "expedite" not in (shown[1] + shown[2]).lower()
    assert all(STATEMENT in text for text in shown)
    assert (result["id"], result["versionId"]) == (1, "v3")
    assert result["data"]["result"]["content"]["polygons"] == []
    assert pacs.results_on("guid-2") == []
    assert pacs.refusals == []


def test_a_late_or_repeated_message_changes_nothing(pacs: SectraPacs, sink: SectraSink) -> None:
    first = example_body(new_id())
    last = taken_back(first)
    for flag in (first, last, first, last):
        sink.send(message_of(flag), NOW)
    (result,) = pacs.results_on("guid-1")
    assert result["versionId"] == "v2"
    assert "RETRACTED" in result["displayResult"]


def test_another_answer_that_does_not_follow_is_a_conflict_that_says_what_is_held(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    first = example_body(new_id())
    sink.send(message_of(first), NOW)
    with pytest.raises(Conflict) as caught:
        sink.send(message_of(example_body(first["flag_id"], Level.STANDARD, 0.1)), NOW)
    assert caught.value.held.event_id == message_of(first).event_id  # type: ignore[attr-defined]


def test_a_result_that_is_changed_between_reading_and_writing_is_read_again(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    first = example_body(new_id())
    sink.send(message_of(first), NOW)

    def meanwhile(method: str, path: str) -> None:
        if method == "PUT":
            pacs.results[1]["versionId"] = "v7"

    pacs.before = meanwhile
    with pytest.raises(TryAgain, match="read again"):
        sink.send(message_of(taken_back(first)), NOW)
    pacs.before = lambda method, path: None
    sink.send(message_of(taken_back(first)), NOW)
    assert "RETRACTED" in pacs.results[1]["displayResult"]


def test_a_twin_that_two_senders_made_is_taken_back_with_it(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    first = example_body(new_id())
    sink.send(message_of(first), NOW)
    pacs.results[2] = {**pacs.results[1], "id": 2}
    sink.send(message_of(taken_back(first)), NOW)
    assert all("RETRACTED" in one["displayResult"] for one in pacs.results_on("guid-1"))


def test_slides_of_one_accession_are_told_apart_by_their_own_id(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    other = example_body(new_id())
    other["slide"] = {**other["slide"], "slide_id": {"value": "S26-1234-A1-2", "issuer": None}}
    sink.send(message_of(other), NOW)
    assert (len(pacs.results_on("guid-1")), len(pacs.results_on("guid-2"))) == (0, 1)


def test_two_images_of_one_slide_are_no_guess_unless_one_is_marked(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    pacs.slides.append(slide("guid-9"))
    flag = example_body(new_id())
    with pytest.raises(Refused, match="2 images of this slide"):
        sink.send(message_of(flag), NOW)
    waiting = json.loads(
        sectra.render_note(flag["flag_id"], "in progress", sectra.Place("guid-9"), "wsi_ai")
    )
    pacs.results[1] = {**waiting, "id": 1, "versionId": "v1"}
    sink.send(message_of(flag), NOW)
    (result,) = pacs.results_on("guid-9")
    assert "expedite" in result["displayResult"].lower()
    assert pacs.results_on("guid-1") == []


def test_a_slide_that_is_not_there_is_waited_for_and_then_refused(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    pacs.slides.clear()
    message = message_of(example_body(new_id()))
    for _ in range(4):
        with pytest.raises(TryAgain, match="yet"):
            sink.send(message, NOW)
    with pytest.raises(Refused, match="does not have"):
        sink.send(message, NOW)
    pacs.slides.append(slide())
    sink.send(message_of(example_body(new_id())), NOW)


def test_an_accession_that_would_lead_elsewhere_is_refused(sink: SectraSink) -> None:
    flag = example_body(new_id())
    flag["case"] = {"accession": {"value": "..", "issuer": None}}
    with pytest.raises(Refused):
        sink.send(message_of(flag), NOW)


def test_a_token_that_expires_in_the_middle_is_asked_for_again(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    left = [1]

    def expire(method: str, path: str) -> None:
        if path.endswith("results") and left and left.pop():
            pacs.expire_tokens()

    pacs.before = expire
    sink.send(message_of(example_body(new_id())), NOW)
    assert len(pacs.results_on("guid-1")) == 1
    assert [path for _, path in pacs.requests].count("/token") == 2


def test_a_token_is_asked_for_anew_shortly_before_its_end(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    for later_s in (0, 3500, 3541):
        sink.send(message_of(example_body(new_id())), NOW + timedelta(seconds=later_s))
    assert [path for _, path in pacs.requests].count("/token") == 2
    assert pacs.refusals == []


def test_wrong_credentials_pause_the_sink_and_show_no_secret(pacs: SectraPacs) -> None:
    wrong = Credentials(oauth=OAuth(pacs.user, secret=lambda: Secret(b"another")))
    with closing(open_sink(endpoint_of(pacs, credentials=wrong))) as sink:
        with pytest.raises(Paused, match="token server answered 401") as caught:
            sink.send(message_of(example_body(new_id())), NOW)
        assert "another" not in f"{caught.value!r} {sink!r} {sink.endpoint!r}"


def test_a_given_token_works_as_well(pacs: SectraPacs) -> None:
    pacs.tokens.add("given")
    with closing(open_sink(endpoint_of(pacs, credentials=credentials(bearer="given")))) as sink:
        sink.send(message_of(example_body(new_id())), NOW)
    assert pacs.results_on("guid-1")


def test_a_wrong_address_pauses_and_costs_no_flag(pacs: SectraPacs) -> None:
    pacs.tokens.add("given")
    wrong = replace(endpoint_of(pacs, credentials=credentials(bearer="given")),
                    url=f"sectra+{pacs.url}".removesuffix("v1") + "v9")  # fmt: skip
    with closing(open_sink(wrong)) as sink, pytest.raises(Paused, match="404"):
        sink.send(message_of(example_body(new_id())), NOW)


@pytest.mark.parametrize("nonsense", [b"<html>", b"[[]]", b"{}", b'"x"', b"[{}", b"[1]", b"\xff"])
def test_an_answer_that_makes_no_sense_is_tried_again(nonsense: bytes, pacs: SectraPacs) -> None:
    given = credentials(bearer="given")
    with (
        answering(nonsense, nonsense) as base,
        closing(open_sink(endpoint_of(replace(pacs, url=base), credentials=given))) as sink,
        pytest.raises(TryAgain),
    ):
        sink.send(message_of(example_body(new_id())), NOW)


@pytest.mark.parametrize("data", [None, [], {"context": None}, {"context": {"flagId": "x"}}])
def test_other_results_on_the_slide_are_passed_over(
    data: Any, pacs: SectraPacs, sink: SectraSink
) -> None:
    pacs.results[1] = {"slideId": "guid-1", "id": 1, "versionId": "v1", "data": data}
    sink.send(message_of(example_body(new_id())), NOW)
    assert len(pacs.results) == 2
    assert pacs.results[1]["versionId"] == "v1"


def test_a_result_with_our_id_that_is_none_of_ours_is_not_overwritten(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    flag = example_body(new_id())
    stranger = {"data": {"context": {"flagId": flag["flag_id"], "revision": "many"}}}
    pacs.results[1] = {"slideId": "guid-1", "id": 1, "versionId": "v1", **stranger}
    with pytest.raises(Refused, match="none of ours"):
        sink.send(message_of(flag), NOW)


def failed_quality() -> Message:
    flag = example_body(new_id(), Level.NOT_ASSESSED)
    return message_of({**flag, "qc": {**flag["qc"], "status": "fail"}})


def test_the_slides_quality_is_left_alone_unless_the_site_asks(
    pacs: SectraPacs, sink: SectraSink
) -> None:
    sink.send(failed_quality(), NOW)
    assert pacs.slides[0].quality["status"] == "NotSet"
    asked = SectraSettings(quality_control=True)
    with closing(open_sink(endpoint_of(pacs, sectra=asked))) as other:
        other.send(message_of(example_body(new_id())), NOW)
        assert pacs.slides[0].quality["status"] == "NotSet"
        other.send(failed_quality(), NOW)
        assert pacs.slides[0].quality["status"] == "Rejected"
        pacs.slides[0].quality["status"] = "QualityOk"
        other.send(failed_quality(), NOW)
    assert pacs.slides[0].quality["status"] == "QualityOk"


def test_a_gallery_is_shown_where_the_site_asks_for_it(pacs: SectraPacs) -> None:
    square = [[0, 0], [256, 0], [256, 256], [0, 256]]
    regions = [{"region_id": f"r{n}", "shape": "polygon", "coords": "level0_px", "points": square,
                "score": score, "area_mm2": 0.1} for n, score in enumerate((0.5, 0.9))]  # fmt: skip
    flag = example_body(new_id())
    flag = {**flag, "evidence": {**flag["evidence"], "regions": regions}}
    asked = SectraSettings(shapes=Shapes.GALLERY)
    with closing(open_sink(endpoint_of(pacs, sectra=asked))) as sink:
        sink.send(message_of(flag), NOW)
        (result,) = pacs.results_on("guid-1")
        assert result["data"]["result"]["type"] == "patchCollection"
        shown = result["data"]["result"]["content"]["patches"]
        assert [one["sortKeyValue"] for one in shown] == [0.9, 0.5]
        sink.send(message_of(taken_back(flag)), NOW)
    (result,) = pacs.results_on("guid-1")
    assert result["data"]["result"]["type"] == "primitive"
    assert pacs.refusals == []


@given(flag=flags())
@settings(max_examples=30)
def test_a_square_in_pixels_stays_a_square_and_all_lies_on_the_slide(flag: dict[str, Any]) -> None:
    side = min(flag["slide"]["width"], flag["slide"]["height"])
    square = [[0, 0], [side, 0], [side, side], [0, side]]
    region = {"region_id": "r", "shape": "polygon", "coords": "level0_px", "points": square,
              "score": 0.5, "area_mm2": 1.0}  # fmt: skip
    regions = [region, *flag["evidence"]["regions"]]
    event = event_for({**flag, "evidence": {**flag["evidence"], "regions": regions}})
    size = slide(width=flag["slide"]["width"], height=flag["slide"]["height"])
    for render in (sectra.render, sectra.render_gallery):
        content = render(event)
        result = json.loads(content)
        assert wrong_in(result, size) is None
        assert sectra.parse(content) == summary_of(event.flag)
        for polygon in result["data"]["result"]["content"]["polygons"][:1]:
            xs = [point["x"] for point in polygon["points"]]
            ys = [point["y"] for point in polygon["points"]]
            assert max(xs) - min(xs) == pytest.approx(max(ys) - min(ys))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sectra+http://pacs.example/v1", "https only"),
        ("sectra+https://user:pass@pacs.example/v1", "no user or password"),
        ("sectra+https://pacs.example/v1?x=1", r"no \?"),
        ("sectra+https://elsewhere.example/v1", "allowed hosts"),
    ],
)
def test_an_address_that_may_not_be_asked_is_refused(url: str, why: str) -> None:
    with pytest.raises(SinkError, match=why):
        open_sink(Endpoint("pacs", url, frozenset({"RXX"}),
                           allowed_hosts=frozenset({"pacs.example"})))  # fmt: skip


def test_a_key_is_no_password(pacs: SectraPacs) -> None:
    key = Credentials(oauth=OAuth("wsi-ai", key=lambda: Secret(b"pem")))
    with pytest.raises(SinkError, match="client_secret"):
        open_sink(endpoint_of(pacs, credentials=key))


def test_in_tls_a_certificate_of_another_authority_is_refused(authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    with serving_pacs(SectraPacs([slide()]), context) as pacs:
        for name, works in (("ca", True), ("stranger", False)):
            tls = Tls(authority / f"{name}.pem")
            with closing(open_sink(endpoint_of(pacs, tls=tls))) as sink:
                if works:
                    sink.send(message_of(example_body(new_id())), NOW)
                else:
                    with pytest.raises(TryAgain, match="not trusted"):
                        sink.send(message_of(example_body(new_id())), NOW)


def test_what_a_person_sees_changes_within_a_second_and_no_urgent_stays(
    pacs: SectraPacs, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(pacs.password)
    sinks = tmp_path / "sinks.toml"
    sinks.write_text(
        f"[[sink]]\nname = 'pacs'\nurl = 'sectra+{pacs.url}'\ntrusts = ['RXX']\n"
        f"[sink.oauth]\nclient_id = '{pacs.user}'\nclient_secret = 'file:{tmp_path}/password'\n"
    )

    def urgent() -> bool:
        return any("expedite" in one["displayResult"].lower() for one in pacs.results_on("guid-1"))

    name = new_id()
    with open_posting([str(sinks)], str(tmp_path / "outbox.db")) as posting:
        posting.put_early(example_body(name, Level.EXPEDITE, 0.9))
        until(urgent, "it was never raised")
        posting.put(example_body(name, Level.NOT_ASSESSED))
        assert posting.drain(10) == 0
        until(lambda: not urgent(), "it stayed urgent", 1)
        posting.put(example_body(name, Level.EXPEDITE, 0.8))
        assert posting.drain(10) == 0
        assert urgent()
        list(posting.relay.outbox.recall("mean", "1"))
        posting.relay.wake()
        assert posting.drain(10) == 0
        assert not urgent()
        assert posting.relay.reconcile() == {"pacs": None}
    assert len(pacs.results) == 1
    assert pacs.refusals == []
