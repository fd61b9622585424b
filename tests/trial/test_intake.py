"""Of 17 bundles those that hold are pooled; the others are left out, and each says why."""

import json
from dataclasses import replace

import pytest

from tests.trial.protocols import key_pair
from tests.trial.regions import Region
from wsi_ai.trial.bundle import Running, controlled_bundle, open_bundle
from wsi_ai.trial.documents import Kind, sign
from wsi_ai.trial.intake import take_in


@pytest.fixture(scope="module")
def region() -> Region:
    return Region(sites=17)


@pytest.fixture(scope="module")
def bundles(region: Region) -> dict[str, bytes]:
    return region.all_bundles(look=2)


def test_one_forged_one_replayed_one_of_another_protocol_are_left_out_by_name(
    region: Region, bundles: dict[str, bytes]
) -> None:
    forged = controlled_bundle(region.sums("RAB", 2, seed=99), region.protocol, Running(1))
    other = Region(sites=17, trial_id="another-trial")
    foreign = controlled_bundle(other.sums("RAD", 2), other.protocol, Running(1))
    spoilt = {
        **bundles,
        "RAB.dsse": sign(forged, Kind.BUNDLE, key_pair()[0]),
        "RAC.dsse": region.bundle("RAC", look=1),
        "RAD.dsse": region.signed(foreign, "RAD"),
    }
    intake = take_in(spoilt, region.door(look=2))
    assert len(intake.accepted) == 14
    assert {left.name: left.why.split(":")[0] for left in intake.left_out} == {
        "RAB.dsse": "it is signed by no known key, or was changed since",
        "RAC.dsse": "replayed",
        "RAD.dsse": "of another protocol",
    }


def test_a_bundle_that_was_changed_on_its_way_is_left_out(
    region: Region, bundles: dict[str, bytes]
) -> None:
    envelope = json.loads(bundles["RAA.dsse"])
    payload = envelope["payload"]
    envelope["payload"] = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
    intake = take_in({"RAA.dsse": json.dumps(envelope).encode()}, region.door(look=2))
    assert "changed since" in intake.left_out[0].why


def test_a_site_cannot_speak_for_another(region: Region) -> None:
    made = controlled_bundle(region.sums("RAB", 2), region.protocol, Running(1))
    intake = take_in({"x": region.signed(made, "RAA")}, region.door(look=2))
    assert "another key" in intake.left_out[0].why


def test_an_older_bundle_of_a_site_is_not_pooled_after_a_newer_one(
    region: Region, bundles: dict[str, bytes]
) -> None:
    intake = take_in({"RAA": bundles["RAA.dsse"]}, region.door(look=2, RAA=2))
    assert "later bundle" in intake.left_out[0].why
    assert take_in({"RAA": bundles["RAA.dsse"]}, region.door(look=2, RAA=1)).accepted


def test_a_reference_for_which_no_key_was_released_is_left_out_but_for_a_correction(
    region: Region, bundles: dict[str, bytes]
) -> None:
    lock = region.sums("RAA", 2).origin.lock_sha256
    one = {"RAA.dsse": bundles["RAA.dsse"]}
    assert take_in(one, region.door_of_locks({"RAA": lock})).accepted
    for released, why in (({"RAA": "00" * 32}, "not the one"), ({"RAB": lock}, "no key")):
        intake = take_in(one, region.door_of_locks(released))
        assert why in intake.left_out[0].why
    sums = region.sums("RAA", 2)
    again = replace(sums, origin=replace(sums.origin, locks=2))
    made = controlled_bundle(again, region.protocol, Running(1))
    door = region.door_of_locks({"RAA": "00" * 32})
    assert take_in({"x": region.signed(made, "RAA")}, door).accepted


def test_the_same_bundle_twice_counts_once(region: Region, bundles: dict[str, bytes]) -> None:
    intake = take_in({**bundles, "again": bundles["RAA.dsse"]}, region.door(look=2))
    assert len(intake.accepted) == 17
    assert [(left.name, left.why) for left in intake.left_out] == [
        ("again", "the same bundle twice")
    ]


def test_two_bundles_of_a_site_that_do_not_follow_each_other_are_both_left_out(
    region: Region, bundles: dict[str, bytes]
) -> None:
    unlike = controlled_bundle(region.sums("RAA", 2, seed=77), region.protocol, Running(1))
    skipped = controlled_bundle(
        region.sums("RAA", 2, seed=77), region.protocol, Running(2, "ab" * 32)
    )
    for made in (unlike, skipped):
        files = {"one": bundles["RAA.dsse"], "two": region.signed(made, "RAA")}
        intake = take_in(files, region.door(look=2))
        assert not intake.accepted
        assert {left.name for left in intake.left_out} == {"one", "two"}


@pytest.mark.parametrize("shown", ["3", "13", "5"])
def test_an_open_bundle_with_a_number_that_the_door_would_not_have_let_out_is_left_out(
    region: Region, shown: str
) -> None:
    made = open_bundle(region.sums("RAA", 2), region.protocol, Running(1))
    entries = {**made["open"], "all/total/total": shown}
    intake = take_in({"x": region.signed({**made, "open": entries}, "RAA")}, region.door(look=2))
    assert "not hidden or rounded" in intake.left_out[0].why


def test_an_open_bundle_with_more_or_less_than_the_protocol_asks_is_left_out(
    region: Region,
) -> None:
    made = open_bundle(region.sums("RAA", 2), region.protocol, Running(1))
    more = {**made["open"], "ethnicity=green/total/total": "10"}
    less = {k: v for k, v in made["open"].items() if k != "all/total/total"}
    for entries in (more, less):
        wrong = region.signed({**made, "open": entries}, "RAA")
        intake = take_in({"x": wrong}, region.door(look=2))
        assert "protocol's bundles show" in intake.left_out[0].why


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"payload": 3}'])
def test_a_file_that_is_no_bundle_is_left_out_and_the_others_are_pooled(
    region: Region, bundles: dict[str, bytes], content: bytes
) -> None:
    intake = take_in({**bundles, "odd.dsse": content}, region.door(look=2))
    assert len(intake.accepted) == 17
    assert [left.name for left in intake.left_out] == ["odd.dsse"]


def test_flags_that_were_opened_early_are_said_outside_the_counts(region: Region) -> None:
    sums = region.sums("RAA", 2)
    early = replace(sums, origin=replace(sums.origin, opened_early=True))
    made = controlled_bundle(early, region.protocol, Running(1))
    assert take_in({"x": region.signed(made, "RAA")}, region.door(look=2)).accepted[0].opened_early
