"""The tutorial's trial holds from end to end, and its folder is one to try commands on."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.models_for_tests import red_network, write_model
from tests.trial.site_world import BLUISH, PINK, write_slide
from wsi_ai.cli import app
from wsi_ai.demo import SampleSpec
from wsi_ai.errors import OutputError
from wsi_ai.trial.region.folder import load
from wsi_ai.trial.tutorial.course import Course, run_tutorial
from wsi_ai.trial.tutorial.plan import LIST
from wsi_ai.trial.tutorial.population import made_cases, made_sites


def write(path: Path, spec: SampleSpec) -> Path:
    """In place of a slide that takes ten seconds to draw."""
    made = write_slide(path.with_suffix(".tif"), PINK if spec.tumour else BLUISH, spec.seed)
    return made.rename(path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial")
    model = write_model(folder / "red", red_network(side=64), side=64, mpp=0.5)
    small = LIST.replace("weeks = 6", "weeks = 1").replace("number = 12", "number = 2")
    course = Course(
        folder / "trial", model, sites=6, cases=30, slides=2, reading_list=small, write_slide=write
    )
    said: list[str] = []
    assert run_tutorial(course, said.append) == folder / "trial" / "report.html"
    assert "drawn, not run" in " ".join(said)
    return folder / "trial"


def trial(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["trial", *map(str, words)])
    return result.exit_code, result.output


def pool(done: Path, out: Path, *bundles: Path) -> tuple[int, str]:
    region = done / "region"
    return trial(
        "pool", *(bundles or sorted((region / "bundles").glob("*.dsse"))),
        "--protocol", region / "protocol.dsse", "--trusted-keys", region / "region.pub",
        "--sites", region / "sites", "--unseal-key", region / "counts.key", "--out", out,
        "--released", region / "unseal" / "released.jsonl",
    )  # fmt: skip


def test_one_sites_slides_are_really_run_and_the_report_says_which(done: Path) -> None:
    sites = load(done / "region" / "pooled")
    first = sites.exact[0]
    assert first.flow.slides == 2
    assert [mix.value for mix in first.mix if mix.kind == "software"] != ["drawn not run"]
    assert {m.value for s in sites.exact[1:] for m in s.mix if m.kind == "software"} == {
        "drawn not run"
    }
    page = (done / "report.html").read_text()
    assert "SYNTHETIC DATA: RXA&#39;s slides were drawn and really run" in page
    assert not sites.left_out
    assert [file.audience for file in sites.files] == ["controlled"] * 5 + ["open"]


def test_the_real_sites_cases_are_counted_on_the_protocol(done: Path) -> None:
    first = load(done / "region" / "pooled").exact[0]
    assert first.flow.off_protocol == 0
    assert first.flags.with_condition.cases == first.flags.without.cases == 1


def test_bundles_are_pooled_again_and_a_spoilt_one_is_named(done: Path, tmp_path: Path) -> None:
    status, output = pool(done, tmp_path / "pooled")
    assert (status, output.splitlines()[0]) == (0, "6 bundles: 6 pooled, 0 left out")
    assert "with 1 rounded site" in output
    spoilt = tmp_path / "odd.dsse"
    spoilt.write_bytes(b"{}")
    whole = sorted((done / "region" / "bundles").glob("*.dsse"))
    status, output = pool(done, tmp_path / "pooled", *whole, spoilt)
    assert status == 1
    assert "left out: odd.dsse: it is no signed document" in output
    status, output = pool(done, tmp_path / "other", spoilt)
    assert status == 2
    assert "no bundle is left" in output
    assert not (tmp_path / "other").exists()


def test_a_bundle_that_replaces_another_is_pooled_and_the_old_one_is_a_replay_from_then_on(
    done: Path, tmp_path: Path
) -> None:
    first = done / "region" / "bundles" / "RXB.dsse"
    second = tmp_path / "second.dsse"
    place = done / "sites" / "RXB" / "trial"
    status, _ = trial("bundle", "--trial", place, "--audience", "controlled", "--out", second)
    assert status == 0
    assert pool(done, tmp_path / "pooled", first, second)[0] == 1
    assert load(tmp_path / "pooled").files[0].number == 2
    status, output = pool(done, tmp_path / "pooled", first)
    assert status == 2
    assert "a later bundle of this site was pooled before" in output


def test_a_preview_shows_what_an_open_bundle_says_and_leaves_no_line(done: Path) -> None:
    place = done / "sites" / "RXC" / "trial"
    before = (place / "ledger.jsonl").read_bytes()
    status, output = trial("bundle", "--trial", place, "--preview")
    assert status == 0
    assert "all/total/total" in output
    assert "nothing has left" in output
    assert (place / "ledger.jsonl").read_bytes() == before


def test_a_site_that_did_not_analyse_yet_has_no_bundle(done: Path, tmp_path: Path) -> None:
    region, site = done / "region", done / "sites" / "RXE"
    place = tmp_path / "trial"
    status, _ = trial(
        "join", region / "protocol.dsse", "--trusted-keys", region / "region.pub",
        "--site", "RXE", "--key", site / "site.pem", "--out", place,
    )  # fmt: skip
    assert status == 0
    status, output = trial("bundle", "--trial", place, "--out", tmp_path / "x.dsse")
    assert status == 2
    assert "trial analyse makes them" in output
    assert trial("bundle", "--trial", place)[0] == 2


def test_a_bundle_is_never_written_over(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept.dsse"
    out.write_bytes(b"kept")
    place = done / "sites" / "RXD" / "trial"
    assert trial("bundle", "--trial", place, "--audience", "controlled", "--out", out)[0] == 2
    assert out.read_bytes() == b"kept"


def test_waits_are_simulated_with_the_accuracy_of_the_pool(done: Path) -> None:
    status, output = trial("simulate", done / "list.toml", "--pooled", done / "region" / "pooled")
    assert status == 0
    assert "as of one more site of the pool" in output
    assert "cases with the condition wait" in output


def test_a_report_takes_what_a_person_wrote_and_refuses_an_item_that_there_is_not(
    done: Path, tmp_path: Path
) -> None:
    typed = tmp_path / "items.toml"
    typed.write_text('["STARD-AI"]\n33 = "Slides are synthetic."\n')
    page = tmp_path / "report.html"
    words = ("report", done / "region" / "pooled", "--html", page, "--typed", typed)
    assert trial(*words)[0] == 0
    assert "Slides are synthetic." in page.read_text()
    assert page.stat().st_mode & 0o077 == 0
    typed.write_text('["STARD-AI"]\n99 = "no such item"\n')
    status, output = trial(*words)
    assert status == 2
    assert "no item 99" in output


def test_the_tutorial_writes_into_no_folder_that_has_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        run_tutorial(Course(tmp_path, tmp_path), print)
    assert trial("tutorial", tmp_path)[0] == 2


def test_made_up_cases_are_the_same_each_time_and_name_no_real_trust() -> None:
    sites = made_sites(("RXA", "RXB"), 50, 1)
    assert list(made_cases(sites[0], 0.5, 1)) == list(made_cases(sites[0], 0.5, 1))
    assert next(made_cases(sites[1], 0.5, 1)).accession == "RXB-0000"


def test_no_case_or_patient_is_named_in_what_the_region_gets(done: Path) -> None:
    pooled = json.dumps(json.loads((done / "region" / "pooled" / "pooled.json").read_text()))
    for secret in ("RXB-00", "pRXB", "accession"):
        assert secret not in pooled
        assert secret not in (done / "report.html").read_text()
