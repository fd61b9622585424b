"""One site, from the signature to the result; and everything that goes wrong on the way."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import tomlkit

from tests.trial.protocols import key_pair
from tests.trial.site_world import BLUISH, GLASS, PINK, World, make_world, write_reference
from wsi_ai.trial.documents import Kind, sign
from wsi_ai.trial.sealing import UNSEALED, entries
from wsi_ai.trial.site_folder import open_folder

SLIDES = {
    "c1-a": PINK, "c1-b": BLUISH, "c2-a": BLUISH, "c3-a": GLASS, "c4-a": PINK, "c5-a": BLUISH,
}  # fmt: skip
TRUTH = {"c1": "CANCER", "c2": "BENIGN", "c3": "CANCER", "c4": "BENIGN", "c6": "CANCER"}


def copied(world: World, to: Path) -> World:
    for place in world.folder.iterdir():
        (shutil.copytree if place.is_dir() else shutil.copy)(place, to / place.name)
    return World(to)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = make_world(tmp_path_factory.mktemp("world"), SLIDES)
    assert world.join()[0] == 0
    status, output = world.seal()
    assert status == 0, output
    write_reference(world, TRUTH)
    return world


@pytest.fixture(scope="module")
def once_analysed(once: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = copied(once, tmp_path_factory.mktemp("analysed"))
    world.unsealed()
    status, output = world.analyse()
    assert status == 0, output
    return world


@pytest.fixture
def sealed(once: World, tmp_path: Path) -> World:
    """Flags are sealed, the reference is not locked."""
    return copied(once, tmp_path)


@pytest.fixture
def analysed(once_analysed: World, tmp_path: Path) -> World:
    return copied(once_analysed, tmp_path)


def found(world: World, name: str = "results.json") -> dict[str, object]:
    content: dict[str, object] = json.loads((world.trial / name).read_text())
    return content


def test_a_site_comes_from_slides_to_its_result(once_analysed: World) -> None:
    """c1 is expedited by one of two slides, c3 of glass, c6 never ran, c5 has no reference."""
    flags = found(once_analysed)["flags"]
    assert flags == {
        "with_condition": {"expedite": 1, "standard": 0, "not_assessed": 2},
        "without": {"expedite": 1, "standard": 1, "not_assessed": 0},
        "unknown": {"expedite": 0, "standard": 1, "not_assessed": 0},
    }
    sums = found(once_analysed, "sums.json")
    assert sums["flags"] == flags
    wanted = {"slides": 6, "cases": 6, "never_ran": 1, "indeterminate": 0, "unblinded": 0}
    assert sums["flow"] == {**wanted, "off_protocol": 0}


def test_the_joined_cases_are_for_their_owner_alone(once_analysed: World) -> None:
    for name in ("cases.csv", "results.json", "sums.json"):
        assert (once_analysed.trial / name).stat().st_mode & 0o777 == 0o600
    lines = (once_analysed.trial / "cases.csv").read_text().splitlines()
    assert len(lines) == 7
    assert lines[1].startswith("RXX,,c1,pc1,expedite,0.")


def test_two_analyses_are_the_same_so_that_nothing_is_told_by_their_difference(
    analysed: World,
) -> None:
    """Not of the counts, and not of the random draws."""
    before = found(analysed), found(analysed, "sums.json")
    assert analysed.analyse()[0] == 0
    assert (found(analysed), found(analysed, "sums.json")) == before


def test_subgroups_come_from_the_table_of_patients_and_its_digest_is_kept(
    analysed: World,
) -> None:
    path = analysed.folder / "patients.csv"
    path.write_text("patient,ethnic_category\npc1,D\npc2,A\n")
    assert analysed.analyse("--patients", path)[0] == 0
    results = found(analysed)
    (ethnicity,) = results["equity"]  # type: ignore[misc]
    cases = {level["level"]: level["cases"] for level in ethnicity["levels"]}
    assert cases == {"white": 1, "mixed": 1, "not_stated": 3}
    assert results["patients_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_step_is_a_line_of_the_ledger(once_analysed: World) -> None:
    lines = entries(open_folder(once_analysed.trial).trial)
    whats = [line["what"] for line in lines]
    assert whats == ["joined", *["sealed"] * 6, "reference locked", "unsealed"]
    assert not [line for line in lines if {"c1", "c1-a", "pc1"} & set(map(str, line.values()))]


def commands(world: World) -> list[tuple[int, str]]:
    return [world.seal(), world.lock(), world.analyse(), world.run(
        "event", "new stainer", "--trial", world.trial
    )]  # fmt: skip


def test_a_protocol_that_was_put_in_the_place_of_the_one_joined_stops_every_command(
    analysed: World,
) -> None:
    """Though the region signed it, too."""
    made = tomlkit.parse((analysed.folder / "protocol.toml").read_text()).unwrap()
    made["primary"]["goal"] = 0.5
    shutil.copy(analysed.sign(made, "other"), analysed.trial / "protocol.dsse")
    for status, output in commands(analysed):
        assert status == 2
        assert "is not the protocol that was joined" in output


def test_a_protocol_that_was_edited_stops_every_command(analysed: World) -> None:
    place = analysed.trial / "protocol.dsse"
    place.write_bytes(place.read_bytes().replace(b'"payload": "e', b'"payload": "f'))
    assert {status for status, _ in commands(analysed)} == {2}


@pytest.mark.parametrize("how", ["cut", "edited", "taken out"])
def test_a_ledger_that_was_changed_stops_every_command(analysed: World, how: str) -> None:
    place = analysed.trial / "ledger.jsonl"
    lines = place.read_bytes().splitlines(keepends=True)
    if how == "taken out":
        del lines[2]
    elif how == "edited":
        lines[2] = lines[2].replace(b'"number":2', b'"number":7')
    else:
        lines[-1] = lines[-1][:20]
    place.write_bytes(b"".join(lines))
    for status, output in commands(analysed)[:3]:
        assert status == 2
        assert "the ledger does not hold" in output


def test_another_version_needs_a_folder_of_its_own(sealed: World, tmp_path: Path) -> None:
    made = tomlkit.parse((sealed.folder / "protocol.toml").read_text()).unwrap()
    made["version"] = 2
    signed = sealed.sign(made, "second")
    status, output = sealed.join(signed)
    assert status == 2
    assert "a folder of its own" in output
    assert sealed.join(signed, tmp_path / "trial-2")[0] == 0
    assert sealed.join()[0] == 0, "joining the same again changes nothing"


def test_a_protocol_signed_by_a_stranger_is_not_joined(sealed: World, tmp_path: Path) -> None:
    (sealed.folder / "region.pub").write_bytes(key_pair()[1])
    status, output = sealed.join(out=tmp_path / "new")
    assert status == 2
    assert "no known key" in output
    assert not (tmp_path / "new").exists()


def test_flags_are_not_read_before_the_lock(sealed: World, once_analysed: World) -> None:
    shutil.copy(once_analysed.folder / "rxx.unseal", sealed.folder)
    status, output = sealed.analyse()
    assert status == 2
    assert "lock the reference first" in output
    assert not (sealed.trial / "results.json").exists()


def test_flags_that_were_read_before_the_lock_make_the_result_unblinded(
    sealed: World, once_analysed: World
) -> None:
    """By whoever had the key: the ledger says so."""
    open_folder(sealed.trial).trial.ledger.append([{"what": UNSEALED, "reference_sha256": "0"}])
    sealed.unsealed()
    status, output = sealed.analyse()
    assert status == 1
    assert output.startswith("UNBLINDED: a reference was locked after flags had been read")
    assert found(sealed, "sums.json")["origin"]["opened_early"] is True  # type: ignore[index]


def test_the_same_lock_again_is_the_same_and_another_needs_a_reason(sealed: World) -> None:
    assert sealed.lock()[0] == sealed.lock()[0] == 0
    write_reference(sealed, {**TRUTH, "c2": "CANCER"}, "corrected.csv")
    status, output = sealed.lock(reference="corrected.csv")
    assert status == 2
    assert "needs a reason" in output
    status, output = sealed.lock("--reason", "typing error", reference="corrected.csv")
    assert status == 0


def test_a_correction_after_reading_shows_both_results_and_is_unblinded(analysed: World) -> None:
    write_reference(analysed, {**TRUTH, "c2": "CANCER"}, "corrected.csv")
    assert analysed.lock("--reason", "typing error", reference="corrected.csv")[0] == 0
    status, output = analysed.analyse()
    assert status == 1
    assert "UNBLINDED" in output
    assert "CORRECTED: the reference was locked 2 times" in output
    results = found(analysed)
    assert len(results["before_correction"]) == 1  # type: ignore[arg-type]
    assert results["flags"]["with_condition"]["standard"] == 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("truth", "rows", "words"),
    [
        (TRUTH, ["RXX,c1,pc1,BENIGN,definite"], "contradict themselves, the first in lines 2, 7"),
        ({**TRUTH, "c1": "", "c2": ""}, [], "2 of 5 cases have no reference"),
        (TRUTH, ["RYY,c9,p9,CANCER,definite"], "1 cases of the reference are of another trust"),
        (TRUTH, ["RXX,c9,943 476 5919,CANCER,definite"], "looks like an NHS number"),
        (TRUTH, ["RXX,c9,p9,see letter of Mrs X,definite"], "is not a code"),
    ],
)  # fmt: skip
def test_a_reference_that_does_not_hold_is_not_locked(
    sealed: World, truth: dict[str, str], rows: Sequence[str], words: str
) -> None:
    write_reference(sealed, truth)
    with (sealed.folder / "reference.csv").open("a") as file:
        file.writelines(f"{row}\n" for row in rows)
    status, output = sealed.lock()
    assert status == 2
    assert words in output
    assert "locked" not in {line["what"] for line in entries(open_folder(sealed.trial).trial)}


def test_an_incomplete_reference_is_locked_when_asked_and_said_first(sealed: World) -> None:
    write_reference(sealed, {**TRUTH, "c1": "", "c2": ""})
    (sealed.folder / "lock.json").write_text(sealed.lock("--incomplete")[1])
    (sealed.folder / "rxx.unseal").write_text(sealed.release()[1])
    status, output = sealed.analyse()
    assert status == 1
    assert output.startswith("INCOMPLETE: 2 of 5 cases have no reference")


def test_a_case_twice_that_agrees_counts_once(sealed: World) -> None:
    with (sealed.folder / "reference.csv").open("a") as file:
        file.write("RXX,c1,pc1,CANCER,definite\n")
    sealed.unsealed()
    assert sealed.analyse()[0] == 0
    assert found(sealed)["flow"]["cases"] == 6  # type: ignore[index]


def test_a_reference_edited_after_the_lock_stops(analysed: World) -> None:
    place = analysed.trial / "reference-1.csv"
    place.write_text(place.read_text().replace("c2,pc2,BENIGN", "c2,pc2,CANCER"))
    status, output = analysed.analyse()
    assert status == 2
    assert "changed since it was locked" in output


def test_an_earlier_reference_that_was_edited_stops_too(analysed: World) -> None:
    write_reference(analysed, {**TRUTH, "c2": "CANCER"}, "corrected.csv")
    assert analysed.lock("--reason", "typing error", reference="corrected.csv")[0] == 0
    place = analysed.trial / "reference-1.csv"
    place.write_text(place.read_text().replace("c4,pc4,BENIGN", "c4,pc4,CANCER"))
    status, output = analysed.analyse()
    assert status == 2
    assert "changed since it was locked" in output


def test_a_reference_is_checked_by_the_sites_own_protocol(sealed: World) -> None:
    path = sealed.folder / "reference.csv"
    assert "5 cases: 5 with a reference" in sealed.ok(
        "reference", "check", path, "--trial", sealed.trial
    )
    for words in ((), ("--trial", sealed.trial, "--protocol", sealed.folder / "protocol.toml")):
        status, output = sealed.run("reference", "check", path, *words)
        assert (status, "say whose reference" in output) == (2, True)


def test_nothing_is_locked_where_nothing_is_sealed(once: World, tmp_path: Path) -> None:
    assert once.join(out=tmp_path / "empty")[0] == 0
    status, output = once.run(
        "reference", "lock", once.folder / "reference.csv", "--trial", tmp_path / "empty"
    )
    assert status == 2
    assert "no flag is sealed yet" in output


def test_a_key_is_released_for_one_lock_and_the_same_lock_gets_it_again(analysed: World) -> None:
    status, again = analysed.release()
    assert status == 0
    assert (
        json.loads(again)["payload"]
        == json.loads((analysed.folder / "rxx.unseal").read_text())["payload"]
    )
    write_reference(analysed, {**TRUTH, "c2": "CANCER"}, "corrected.csv")
    second = analysed.lock("--reason", "typing error", reference="corrected.csv")[1]
    (analysed.folder / "second.json").write_text(second)
    status, output = analysed.release("second.json")
    assert status == 2
    assert "released for another lock" in output


def test_a_lock_that_the_site_did_not_sign_releases_nothing(sealed: World) -> None:
    (sealed.folder / "lock.json").write_text(sealed.lock()[1])
    private, public = key_pair()
    (sealed.folder / "sites" / "ryy.pub").write_bytes(public)
    word = json.loads((sealed.folder / "lock.json").read_text())
    assert sealed.release()[0] == 0
    forged = sign(
        {"site": "RXX", "protocol_sha256": "0", "reference_sha256": "0"}, Kind.LOCK, private
    )
    (sealed.folder / "forged.json").write_bytes(forged)
    status, output = sealed.release("forged.json")
    assert status == 2
    assert "no known key" in output
    word["payload"] = word["payload"][:-8] + "AAAAAAA="
    (sealed.folder / "forged.json").write_text(json.dumps(word))
    assert sealed.release("forged.json")[0] == 2


def test_a_lock_of_another_protocol_releases_nothing(sealed: World) -> None:
    """Though the site signed it: the same site may be in two trials."""
    site = (sealed.folder / "rxx.pem").read_bytes()
    word = {"site": "RXX", "protocol_sha256": "0" * 64, "reference_sha256": "0" * 64}
    (sealed.folder / "other.json").write_bytes(sign(word, Kind.LOCK, site))
    status, output = sealed.release("other.json")
    assert (status, "of another protocol" in output) == (2, True)
    assert not (sealed.folder / "unseal" / "released.jsonl").exists()


def test_a_key_for_another_site_or_reference_opens_nothing(analysed: World) -> None:
    region = (analysed.folder / "region.pem").read_bytes()
    sha256 = open_folder(analysed.trial).protocol.sha256
    good = {
        "protocol_sha256": sha256, "site": "RXX", "reference_sha256": "0" * 64,
        "unseal_private": "11" * 32,
    }  # fmt: skip
    for change, words in (
        ({}, "another reference than any"),
        ({"site": "RYY"}, "another trial or site"),
        ({"protocol_sha256": "0"}, "another trial or site"),
    ):
        made = sign({**good, **change}, Kind.RELEASE, region)
        (analysed.folder / "rxx.unseal").write_bytes(made)
        status, output = analysed.analyse()
        assert (status, words in output) == (2, True)


def test_a_key_that_does_not_open_the_flags_says_so(analysed: World) -> None:
    region = (analysed.folder / "region.pem").read_bytes()
    folder = open_folder(analysed.trial)
    reference = entries(folder.trial)[-2]["reference_sha256"]
    wrong = {
        "protocol_sha256": folder.protocol.sha256, "site": "RXX", "reference_sha256": reference,
        "unseal_private": "11" * 32,
    }  # fmt: skip
    (analysed.folder / "rxx.unseal").write_bytes(sign(wrong, Kind.RELEASE, region))
    status, output = analysed.analyse()
    assert status == 2
    assert "sealed to another key" in output


@pytest.mark.parametrize("how", ["gone", "changed", "swapped"])
def test_a_sealed_record_that_was_touched_is_named_by_its_number(analysed: World, how: str) -> None:
    first, second = (analysed.trial / "sealed" / f"{n:08d}.hpke" for n in (1, 2))
    if how == "gone":
        first.unlink()
    elif how == "changed":
        first.write_bytes(first.read_bytes()[:-1] + b"\0")
    else:
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
    status, output = analysed.analyse()
    assert status == 2
    assert "sealed record 1 was changed" in output or "sealed record 1 is not there" in output


def test_an_event_with_harm_is_in_the_results_with_its_date(analysed: World) -> None:
    event = ("event", "a cancer waited a week", "--trial", analysed.trial)
    assert analysed.run(*event, "--on", "2027-02-03", "--harm")[0] == 0
    assert analysed.analyse()[0] == 0
    wanted = {"on": "2027-02-03", "text": "a cancer waited a week", "harm": True}
    assert found(analysed)["events"] == [wanted]


@pytest.mark.parametrize(
    ("text", "on", "words"),
    [
        ("patient 943 476 5919 fell ill", "", "NHS number"),
        ("", "", "1 to 200 characters"),
        ("x" * 201, "", "1 to 200 characters"),
        ("two\nlines", "", "one line"),
        ("new firmware", "yesterday", "is not a date"),
    ],
)
def test_an_event_names_no_patient_and_has_a_date(
    sealed: World, text: str, on: str, words: str
) -> None:
    status, output = sealed.run("event", text, "--trial", sealed.trial, "--on", on)
    assert status == 2
    assert words in output


def test_messages_name_no_case(analysed: World) -> None:
    """Of whatever went right or wrong above: here the usual ones."""
    said = "".join(output for _, output in (*commands(analysed), analysed.release()))
    assert not [case for case in TRUTH if f"{case}-" in said or f"p{case}" in said]


def test_a_folder_without_a_trial_is_one_line_and_status_2(sealed: World, tmp_path: Path) -> None:
    status, output = sealed.run("event", "x", "--trial", tmp_path / "nowhere")
    assert (status, len(output.splitlines())) == (2, 1)
    assert "there is no trial in this folder" in output
