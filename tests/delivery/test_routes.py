"""Where flags go, from settings files and URLs; and the folder as a sink."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.delivery.parts import KEY
from wsi_ai.delivery.contract import Sink
from wsi_ai.delivery.messages import Endpoint, Message
from wsi_ai.delivery.registry import open_sink
from wsi_ai.delivery.routes import AUTHORITY, BEARER, load_endpoints
from wsi_ai.delivery.routes import KEY as KEY_NAME
from wsi_ai.delivery.sinks import folder
from wsi_ai.errors import Refused, SinkError, TryAgain
from wsi_ai.testing import MemorySink, SinkContract, endpoint_for, example_message

SINKS = """
[[sink]]
name = "region"
url = "https://cases.example/flags"
trusts = ["RXX", "RYY"]
signing_keys = ["file:{folder}/key", "env:OLD_KEY"]
bearer = "file:{folder}/token"
client_cert_file = "{folder}/c.pem"
client_key_file = "{folder}/c.key"
read_back = "https://cases.example/flags"

[[sink]]
name = "archive"
url = "file://{folder}/archive"
trusts = ["RXX"]
"""


@pytest.fixture
def sinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "token").write_text("a token\n")
    for name in (KEY_NAME, BEARER, AUTHORITY):
        monkeypatch.delenv(name, raising=False)

    def write(text: str = SINKS) -> str:
        path = tmp_path / "sinks.toml"
        path.write_text(text.format(folder=tmp_path))
        return str(path)

    return write


def test_a_file_names_several_sinks_and_whose_flags_each_takes(
    sinks: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    region, archive = load_endpoints([sinks()])
    assert [one.takes("RYY") for one in (region, archive)] == [True, False]
    assert region.allowed_hosts == {"cases.example"}
    new, old = region.credentials.signing
    assert new().value.decode() == KEY
    with pytest.raises(SinkError, match="OLD_KEY is not set"):
        old()
    monkeypatch.setenv("OLD_KEY", "whsec_x")
    assert old().value == b"whsec_x"
    assert region.credentials.bearer is not None
    assert region.credentials.bearer().value == b"a token"


def test_a_rotated_secret_is_found_without_a_restart(
    sinks: Callable[..., str], tmp_path: Path
) -> None:
    region, _ = load_endpoints([sinks()])
    (tmp_path / "key").write_text("whsec_new")
    assert region.credentials.signing[0]().value == b"whsec_new"


def test_urls_name_sinks_for_one_run(
    sinks: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)
    mine, theirs, all_ = load_endpoints(
        ["RXX=https://a.example/f", "RYY=https://b.example/f", f"file://{tmp_path}/all"]
    )
    assert (mine.takes("RXX"), mine.takes("RYY"), theirs.takes("RYY")) == (True, False, True)
    assert (all_.takes("RZZ"), all_.takes(None)) == (True, False)
    assert mine.credentials.signing[0]().value.decode() == KEY
    assert all_.credentials.signing == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'sink' is a required property"),
        ("[[sink]]\nname = 'x'\nurl = 'https://a/b'", "'trusts' is a required property"),
        (SINKS + SINKS, "the same name"),
        (SINKS.replace('"file:{folder}/token"', '"a token itself"'), "never given itself"),
        (SINKS.replace("[[sink]]", "[[sink]]\nverify = false", 1), "verify"),
        ("sink = [", "not valid TOML"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    sinks: Callable[..., str], text: str, told: str
) -> None:
    with pytest.raises(SinkError, match=told):
        load_endpoints([sinks(text)])


def test_a_secret_that_stands_where_its_place_should_is_not_repeated(
    sinks: Callable[..., str],
) -> None:
    text = SINKS.replace('"file:{folder}/token"', '"hunter2"')
    with pytest.raises(SinkError) as caught:
        load_endpoints([sinks(text)])
    assert "hunter2" not in str(caught.value)


def test_a_host_outside_the_list_is_refused_when_the_sink_is_opened(
    sinks: Callable[..., str],
) -> None:
    places = sinks('allowed_hosts = ["other.example"]\n' + SINKS)
    region, archive = load_endpoints([places])
    with pytest.raises(SinkError, match="not among the allowed hosts"):
        open_sink(region)
    open_sink(archive).close()


@pytest.mark.parametrize("url", ["ftp://a/b", "memory://x", "file://elsewhere/x"])
def test_a_road_that_nobody_knows_is_refused(url: str) -> None:
    with pytest.raises(SinkError):
        open_sink(Endpoint("x", url, None))


class TestFolderSink(SinkContract):
    """The whole suite of a sink, against a folder."""

    @pytest.fixture
    def sink(self, tmp_path: Path) -> Iterator[Sink]:
        sink = open_sink(Endpoint("archive", f"file://{tmp_path}/new/flags", None))
        yield sink
        sink.close()


class TestMemorySink(SinkContract):
    """The stand-in keeps the contract too."""

    @pytest.fixture
    def sink(self) -> Sink:
        return MemorySink(endpoint_for())


def test_a_folder_holds_the_very_bytes_under_names_that_tell_nothing(tmp_path: Path) -> None:
    sink = folder.open_sink(Endpoint("archive", f"file://{tmp_path}", None))
    message = example_message(str(uuid4()))
    sink.send(message, None)  # type: ignore[arg-type]
    (path,) = tmp_path.iterdir()
    assert path.name == f"{message.flag_id}.000001.cloudevent.json"
    assert path.read_bytes() == message.body
    other = Message(message.event_id, message.flag_id, 1, message.kind, "RXX", True, b"{}")
    with pytest.raises(Refused):
        sink.send(other, None)  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sink = folder.open_sink(Endpoint("archive", f"file://{tmp_path}/file/x", None))
    with pytest.raises(TryAgain, match=r"ENOTDIR|EEXIST"):
        sink.send(example_message(str(uuid4())), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "count"),
    [
        ("https://CASES.example/flags", 2),
        ("HTTPS://cases.example:443/flags", 2),
        ("https://cases.example/flags/", 3),  # another resource, as far as anyone knows
        ("https://cases.example:8443/flags", 3),
    ],
)
def test_another_spelling_of_a_sinks_address_is_that_sink(
    sinks: Callable[..., str], monkeypatch: pytest.MonkeyPatch, url: str, count: int
) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)
    assert len(load_endpoints([sinks(), url])) == count
