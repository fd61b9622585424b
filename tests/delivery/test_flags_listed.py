"""What a person is shown of flags on their way: whose, which level, and how far it has come."""

import time
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from random import Random

import httpx
import pytest
from typer.testing import CliRunner, Result

from tests.delivery.conftest import new_id
from tests.delivery.parts import KEY, OTHER_KEY
from tests.delivery.servers import HOST, free_port, serving
from wsi_ai.cli import app
from wsi_ai.cli.delivered import delivered
from wsi_ai.core.flags import STATEMENT, Level
from wsi_ai.delivery.messages import Endpoint
from wsi_ai.delivery.outbox import Outbox, State, open_database
from wsi_ai.delivery.outbox.listing import Step
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.incoming import Event
from wsi_ai.delivery.receiver.page import worklist_page
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.routes import KEY as KEY_NAME
from wsi_ai.run.outcome import Outcome
from wsi_ai.testing import example_body


def wsi_ai(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def put(database: Path, *bodies: dict[str, object], url: str = "http://127.0.0.1:9/flags") -> None:
    endpoint = Endpoint(name="region", url=url, trusts=frozenset({"RXX"}))
    engine = open_database(str(database))
    outbox = Outbox(engine, time.time, Random(1))
    for body in bodies:
        outbox.put(body, [endpoint])
    engine.dispose()


def of_slide(flag_id: str, slide: str, accession: str) -> dict[str, object]:
    body = example_body(flag_id, Level.EXPEDITE, 0.9)
    body["slide"]["slide_id"]["value"] = slide
    body["case"]["accession"]["value"] = accession
    return body


def test_a_flag_is_found_by_slide_and_by_case_and_says_that_it_waits(database: Path) -> None:
    one, other = new_id(), new_id()
    put(database, of_slide(one, "S1-A1", "S1"), of_slide(other, "S2-A1", "S2"))
    every = wsi_ai("flags", "list", "--outbox", database).stdout
    assert every.endswith(f"2 flags. {STATEMENT}\n")
    for words in (["--slide", "S1-A1"], ["--accession", "S1"]):
        shown = wsi_ai("flags", "list", "--outbox", database, *words).stdout
        head, row, end = shown.splitlines()
        assert head.split()[:3] == ["id", "slide", "accession"]
        assert row.split()[:4] == [one[:8], "S1-A1", "S1", "EXPEDITE"]
        assert row.endswith("waiting: not tried yet (region)")
        assert end.startswith("1 flag. ")
    none = wsi_ai("flags", "list", "--outbox", database, "--slide", "S3")
    assert (none.exit_code, none.stdout) == (1, f"0 flags. {STATEMENT}\n")


def test_a_short_id_is_enough_where_it_means_one_flag(database: Path) -> None:
    one = "11111111-aaaa-4000-8000-000000000001"
    two = "11111111-aaaa-4000-8000-000000000002"
    put(database, of_slide(one, "A", "S1"), of_slide(two, "B", "S1"))
    at = ["--outbox", database]
    both = wsi_ai("flags", "show", "11111111", *at)
    assert both.exit_code == 2
    assert f"{one}, {two}" in both.stderr
    assert f'"flag_id": "{two}"' in wsi_ai("flags", "show", two[:36], *at).stdout
    assert wsi_ai("flags", "show", "11%", *at).exit_code == 2
    assert wsi_ai("flags", "retract", "1", "--reason", "operator", *at).exit_code == 2


def test_a_retraction_says_whether_its_receiver_knows(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)
    port, flag = free_port(), new_id()
    send = f"http://{HOST}:{port}/flags"
    sinks = tmp_path / "sinks.toml"
    sinks.write_text(
        f'[[sink]]\nname = "region"\nurl = "{send}"\ntrusts = ["RXX"]\n'
        f'signing_keys = ["env:{KEY_NAME}"]\n'
    )
    put(database, of_slide(flag, "A", "S1"), url=send)
    words = ["flags", "retract", flag[:8], "--reason", "operator", "--outbox", database]
    waits = wsi_ai(*words)
    assert (waits.exit_code, waits.stdout.splitlines()[-1][:28]) == (
        0,
        "waiting: not delivered yet; ",
    )
    with closing(open_inbox(":memory:")) as inbox:
        with serving(receiver(inbox, Access((KEY,)), time.time), port=port):
            told = wsi_ai(*words, "--send", sinks)
        assert (told.exit_code, told.stdout.splitlines()[-1]) == (0, "delivered (region)")
        assert [held["retracted"] for held in inbox.held()] == [True]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step("f", "region", State.PENDING, "the receiver answered 401"), "compare both ends"),
        (Step("f", "region", State.DEAD, "the receiver answered 422"), "refuses this very flag"),
        (Step("f", "region", State.PENDING, None), "wsi-ai relay sends it"),
        (Step("f", "(none)", State.DEAD, "no sink takes this trust's flags"), "no sink takes"),
        (Step("f", "(none)", State.SKIPPED, "the slide has no identity"), "--cases"),
    ],
)
def test_the_end_of_a_run_names_the_file_the_reason_and_what_to_do(step: Step, words: str) -> None:
    outcome = Outcome(
        slide=Path("x/a.svs"), reason="", folder=None, fresh=True, level=Level.STANDARD, flag_id="f"
    )
    found = delivered([outcome], {"f": [step]})
    assert not found.is_whole
    first, line = found.report()
    assert first == "0 flags are delivered; 1 not yet, or not at all:"
    assert line.startswith("  a.svs: ")
    assert words in line


def test_of_a_thousand_that_wait_a_person_is_shown_some_and_the_number() -> None:
    outcomes = [
        Outcome(
            slide=Path(f"{n}.svs"), reason="", folder=None, fresh=True, level=Level.STANDARD,
            flag_id=str(n),
        )
        for n in range(1000)
    ]  # fmt: skip
    steps = {str(n): [Step(str(n), "region", State.PENDING, None)] for n in range(1000)}
    report = delivered(outcomes, steps).report()
    assert len(report) == 22
    assert report[-1] == "  and 980 more; see: wsi-ai flags list"


class Page(HTMLParser):
    """Tags and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = list[str](), ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[str]:
    inbox = open_inbox(tmp_path / "inbox.db")
    inbox.take(Event("evt_1", of_slide(new_id(), "<script>x</script>", "S1")), time.time())
    with serving(receiver(inbox, Access((KEY,)), time.time)) as base:
        answer = httpx.get(base)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        yield answer.text
    inbox.close()


def test_the_worklist_is_a_page_without_script_that_says_what_it_cannot_know(shown: str) -> None:
    page = Page(shown)
    assert not {"script", "form", "a", "img", "button", "input"} & set(page.tags)
    assert "<script>x</script>" in page.text
    for words in (STATEMENT, "EXPEDITE", "This list may be incomplete", "No level means benign"):
        assert words in page.text


def test_an_empty_worklist_still_says_that_nothing_follows_from_it() -> None:
    page = Page(worklist_page([], {"note": None}, "now"))
    assert "0 flags" in page.text
    assert "says nothing about it" in page.text
    assert "table" not in page.tags


def test_the_page_asks_for_the_token_where_the_receiver_has_one(tmp_path: Path) -> None:
    inbox = open_inbox(tmp_path / "inbox.db")
    with serving(receiver(inbox, Access((OTHER_KEY,), "a token"), time.time)) as base:
        assert httpx.get(base).status_code == 401
        assert httpx.get(base, headers={"Authorization": "Bearer a token"}).status_code == 200
    inbox.close()
