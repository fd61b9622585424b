"""Flags are read after the reference is locked, by who has the key, and as they were sealed."""

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from wsi_ai.delivery.audit import Audit
from wsi_ai.errors import OutputError, TrialError
from wsi_ai.trial.sealing import (
    Question,
    Trial,
    check_reference,
    entries,
    lock_reference,
    seal,
    unseal,
)

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC, PRIVATE = KEY.public_key().public_bytes_raw(), KEY.private_bytes_raw()
REFERENCE = b"trust,accession,result\nRXX,1,CANCER\n"
QUESTIONS = [Question(f"{k:064x}", "cd" * 32) for k in range(3)]
RECORDS = [b'{"level": "expedite"}', b'{"level": "standard"}', b'{"level": "not_assessed"}']


def trial(folder: Path, *, protocol: str = "ab" * 32, site: str = "RXX") -> Trial:
    folder.mkdir(exist_ok=True)
    ledger = Audit(folder / "ledger.jsonl", now=lambda: "2027-01-04T09:00:00Z")
    return Trial(folder, protocol, site, ledger)


@pytest.fixture
def sealed(tmp_path: Path) -> Trial:
    made = trial(tmp_path / "trial")
    for question, record in zip(QUESTIONS, RECORDS, strict=True):
        assert seal(made, question, record, PUBLIC)
    return made


def test_what_was_sealed_comes_out_after_the_lock(sealed: Trial) -> None:
    lock_reference(sealed, REFERENCE)
    assert list(unseal(sealed, REFERENCE, PRIVATE)) == list(zip(QUESTIONS, RECORDS, strict=True))
    assert entries(sealed)[-1]["what"] == "unsealed"


def test_nothing_on_the_disk_says_what_a_flag_is(sealed: Trial) -> None:
    """Nor how long it is."""
    for path in sealed.folder.rglob("*"):
        if path.is_file():
            assert b"expedite" not in path.read_bytes()
            assert b"standard" not in path.read_bytes()
    assert len({path.stat().st_size for path in sealed.sealed.iterdir()}) == 1
    assert {oct(p.stat().st_mode)[-3:] for p in sealed.sealed.iterdir()} == {"600"}


@pytest.mark.parametrize("length", [0, 1, 65_527, 65_528, 65_529, 200_000])
def test_a_record_of_any_length_comes_out_as_it_was(tmp_path: Path, length: int) -> None:
    made, record = trial(tmp_path / "trial"), b"\0\1" * (length // 2) + b"\0" * (length % 2)
    seal(made, QUESTIONS[0], record, PUBLIC)
    lock_reference(made, REFERENCE)
    assert list(unseal(made, REFERENCE, PRIVATE)) == [(QUESTIONS[0], record)]


def test_flags_are_not_read_before_the_lock(sealed: Trial) -> None:
    with pytest.raises(TrialError, match="lock the reference first"):
        list(unseal(sealed, REFERENCE, PRIVATE))
    assert all(line["what"] == "sealed" for line in entries(sealed))


def test_a_reference_that_was_changed_after_the_lock_unseals_nothing(sealed: Trial) -> None:
    lock_reference(sealed, REFERENCE)
    with pytest.raises(TrialError, match="changed since"):
        list(unseal(sealed, REFERENCE + b"RXX,2,BENIGN\n", PRIVATE))


def test_a_second_lock_needs_a_reason_and_both_are_kept(sealed: Trial) -> None:
    lock_reference(sealed, REFERENCE)
    lock_reference(sealed, REFERENCE)  # the same again is nothing new
    corrected = REFERENCE.replace(b"CANCER", b"BENIGN")
    with pytest.raises(TrialError, match="needs a reason"):
        lock_reference(sealed, corrected)
    lock_reference(sealed, corrected, reason="typing error in row 1")
    check_reference(sealed, corrected)
    assert [line["what"] for line in entries(sealed)].count("reference locked") == 2


def test_the_same_question_is_sealed_once(sealed: Trial) -> None:
    assert not seal(sealed, QUESTIONS[1], b"another answer", PUBLIC)
    assert len(list(sealed.sealed.iterdir())) == 3
    assert seal(sealed, Question(QUESTIONS[1].slide_sha256, "ef" * 32), b"{}", PUBLIC)


def test_no_flag_is_added_once_the_reference_is_locked(sealed: Trial) -> None:
    lock_reference(sealed, REFERENCE)
    with pytest.raises(TrialError, match="locked"):
        seal(sealed, Question("99" * 32, "cd" * 32), b"{}", PUBLIC)


def swap(sealed: Trial) -> None:
    """And mend the ledger, as somebody with the disk could: the chain is made anew."""
    first, second = sorted(sealed.sealed.iterdir())[:2]
    contents = second.read_bytes(), first.read_bytes()
    first.write_bytes(contents[0])
    second.write_bytes(contents[1])
    lines = [
        {k: v for k, v in line.items() if k not in ("n", "previous", "time")}
        for line in entries(sealed)
    ]
    lines[0]["sealed_sha256"], lines[1]["sealed_sha256"] = (
        lines[1]["sealed_sha256"],
        lines[0]["sealed_sha256"],
    )
    sealed.ledger.path.unlink()
    sealed.ledger.append(lines)


def test_two_models_answers_about_one_slide_are_not_exchanged(tmp_path: Path) -> None:
    made = trial(tmp_path / "trial")
    for question, record in zip(("cd" * 32, "ef" * 32), RECORDS, strict=False):
        seal(made, Question("11" * 32, question), record, PUBLIC)
    lock_reference(made, REFERENCE)
    swap(made)
    with pytest.raises(TrialError, match="sealed record 1 was sealed to another"):
        list(unseal(made, REFERENCE, PRIVATE))


def cut_out(sealed: Trial) -> None:
    lines = sealed.ledger.path.read_text().splitlines(keepends=True)
    sealed.ledger.path.write_text(lines[0] + "".join(lines[2:]))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (swap, "sealed record 1 was sealed to another"),
        (cut_out, "ledger does not hold"),
        (lambda t: (t.sealed / "00000002.hpke").unlink(), "record 2 is not there"),
        (lambda t: (t.sealed / "00000002.hpke").write_bytes(b"x"), "record 2 was changed"),
    ],
)
def test_what_was_done_to_sealed_records_is_found(
    sealed: Trial, attack: object, message: str
) -> None:
    lock_reference(sealed, REFERENCE)
    attack(sealed)  # type: ignore[operator]
    with pytest.raises(TrialError, match=message):
        list(unseal(sealed, REFERENCE, PRIVATE))


@pytest.mark.parametrize("other", [{"protocol": "cd" * 32}, {"site": "RYY"}])
def test_a_record_opens_in_its_own_trial_and_at_its_own_site_only(
    sealed: Trial, other: dict[str, str]
) -> None:
    lock_reference(sealed, REFERENCE)
    with pytest.raises(TrialError, match="another key or trial"):
        list(unseal(trial(sealed.folder, **other), REFERENCE, PRIVATE))


def test_another_key_opens_nothing(sealed: Trial) -> None:
    lock_reference(sealed, REFERENCE)
    with pytest.raises(TrialError, match="another key"):
        list(unseal(sealed, REFERENCE, X25519PrivateKey.generate().private_bytes_raw()))


def test_a_file_without_a_line_counts_for_nothing_and_is_not_written_over(sealed: Trial) -> None:
    """What a crash between the two leaves."""
    orphan = sealed.sealed / "00000004.hpke"
    shutil.copy(sealed.sealed / "00000001.hpke", orphan)
    content = orphan.read_bytes()
    assert seal(sealed, Question("99" * 32, "cd" * 32), b"{}", PUBLIC)
    assert orphan.read_bytes() == content
    lock_reference(sealed, REFERENCE)
    assert [record for _, record in unseal(sealed, REFERENCE, PRIVATE)] == [*RECORDS, b"{}"]


def test_where_nothing_can_be_written_nothing_is_noted(tmp_path: Path) -> None:
    made = trial(tmp_path / "trial")
    made.sealed.write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        seal(made, QUESTIONS[0], b"{}", PUBLIC)
    assert entries(made) == []


def test_a_ledger_names_no_level_and_no_case(sealed: Trial) -> None:
    assert set(json.loads(sealed.ledger.path.read_text().splitlines()[0])) == {
        "n", "previous", "time", "what", "number", "sealed_sha256", "slide", "question",
    }  # fmt: skip
