"""Slides that stay in an archive: the same pixels as from the disk, and never a wrong one."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import Response
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.certificates import write_certificates
from tests.delivery.orthanc import LOGIN, Orthanc, orthanc
from tests.slides.dicom_archive import Double, framed
from tests.slides.dicom_slides import dicom_of
from wsi_ai.core.contracts import Slide
from wsi_ai.errors import SlideError, TileUnreadable, UnknownFormat
from wsi_ai.slides import registry
from wsi_ai.slides.headers import header_of
from wsi_ai.slides.readers.dicom.reader import open_slide as open_file
from wsi_ai.slides.readers.dicomweb import archive as archives
from wsi_ai.slides.readers.dicomweb.address import series_address
from wsi_ai.slides.readers.dicomweb.multipart import NotMultipart, parts_of
from wsi_ai.slides.readers.dicomweb.reader import open_series
from wsi_ai.slides.readers.stored import StoredSlide
from wsi_ai.testing import SlideContract


def open_slide(place: Path) -> StoredSlide:
    """Without the waits between tries."""
    return open_series(archives.Archive(lambda seconds: None), series_address(place))


KINDS = ["raw", "jpeg", "jpeg2000"]


@pytest.fixture(scope="module")
def wsi2dcm(shared_data: Path) -> Path:
    return shared_data / "dicom" / "wsi2dcm"


@pytest.fixture(scope="module")
def cmu_dicom(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    like = shared_data / "dicom" / "highdicom" / "sm_image.dcm"
    to = tmp_path_factory.mktemp("dicom") / "cmu.dcm"
    return dicom_of(shared_data / "slides" / "cmu-1-small-region.svs", like, to)


@pytest.fixture(scope="module")
def archive(
    wsi2dcm: Path, cmu_dicom: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        small = shared_data / "dicom" / "highdicom" / "sm_image_jpegls.dcm"
        archive.stored(*(wsi2dcm / f"{kind}.dcm" for kind in KINDS), cmu_dicom, small)
        yield archive


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_LOGIN", LOGIN)
    monkeypatch.setenv(archives.BASIC, "env:A_LOGIN")


def address(archive: Orthanc, slide: Path) -> Path:
    return Path(f"dicomweb+{archive.base}/{Double(slide).series}")


class TestOrthanc(SlideContract):
    @pytest.fixture
    def slide(self, archive: Orthanc, cmu_dicom: Path, login: None) -> Iterator[Slide]:
        with open_slide(address(archive, cmu_dicom)) as slide:
            yield slide


def whole(slide: Slide) -> Any:
    return slide.read(0, 0, 0, slide.info.size.width, slide.info.size.height)


@pytest.mark.parametrize("kind", [*KINDS, "jpegls"])
def test_an_archives_slide_has_the_pixels_and_the_scale_of_the_file(
    archive: Orthanc, wsi2dcm: Path, shared_data: Path, login: None, kind: str
) -> None:
    small = shared_data / "dicom" / "highdicom" / "sm_image_jpegls.dcm"
    file = small if kind == "jpegls" else wsi2dcm / f"{kind}.dcm"
    with registry.open_slide(address(archive, file)) as far, open_file(file) as near:
        np.testing.assert_array_equal(whole(far), whole(near))
        for name in ("size", "spacing", "downsamples", "icc_profile", "scanner", "scale_doubt"):
            assert getattr(far.info, name) == getattr(near.info, name)
        assert far.info.dicom is not None
        assert near.info.dicom is not None
        assert far.info.dicom.sop_uid == near.info.dicom.sop_uid
        assert (far.info.reader, far.info.dicom.frames_hashed) == ("dicomweb", True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fingerprint_is_of_uids_and_frames_and_the_same_from_any_archive(
    archive: Orthanc, wsi2dcm: Path, login: None, kind: str
) -> None:
    file = wsi2dcm / f"{kind}.dcm"
    double = Double(file)
    with open_slide(address(archive, file)) as far, double.running() as there:
        told = far.info.fingerprint
        with open_slide(there) as other:
            assert other.info.fingerprint == told
    name = str(double.header.SOPInstanceUID)
    assert told == hashlib.sha256(name.encode() + b"".join(double.frames())).hexdigest()


def test_whose_slide_it_is_is_read_from_the_archive(
    archive: Orthanc, cmu_dicom: Path, login: None
) -> None:
    said = header_of(address(archive, cmu_dicom))
    assert said == {"AccessionNumber": "S19-1_A_1_1", "ContainerIdentifier": "S19-1_A_1_1"}
    assert header_of(Path("dicomweb+http://127.0.0.1/nothing")) == {}


def test_a_series_that_the_archive_does_not_know_says_so(archive: Orthanc, login: None) -> None:
    with pytest.raises(SlideError, match="does not know this series"):
        open_slide(Path(f"dicomweb+{archive.base}/studies/1.2.3/series/1.2.4"))


def test_a_login_that_is_missing_or_wrong_is_the_archives_answer(
    archive: Orthanc, cmu_dicom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SlideError, match="answered 401"):
        open_slide(address(archive, cmu_dicom))
    monkeypatch.setenv(archives.BASIC, "file:/nowhere")
    with pytest.raises(SlideError, match="names no secret") as caught:
        open_slide(address(archive, cmu_dicom))
    assert "nowhere" not in str(caught.value)


@pytest.fixture
def jpeg(wsi2dcm: Path) -> Path:
    return wsi2dcm / "jpeg.dcm"


def test_a_token_that_expires_in_the_middle_is_read_anew(
    jpeg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    monkeypatch.setenv(archives.BEARER, f"file:{token}")
    double = Double(jpeg, token="first")
    with double.running() as there, open_slide(there) as slide, open_file(jpeg) as near:
        double.token = "second"
        with pytest.raises(SlideError, match="answered 401") as caught:
            slide.read(0, 0, 0, 64, 64)
        assert not isinstance(caught.value, TileUnreadable)
        token.write_text("second")
        np.testing.assert_array_equal(whole(slide), whole(near))


def test_an_archive_that_goes_away_is_the_slides_failure_and_no_lost_tile(jpeg: Path) -> None:
    with Double(jpeg).running() as there:
        slide = open_slide(there)
    with slide, pytest.raises(SlideError, match="run it again") as caught:
        slide.read(0, 0, 0, 64, 64)
    assert not isinstance(caught.value, TileUnreadable)


def test_what_fails_once_is_asked_again(jpeg: Path) -> None:
    failed = set[str]()

    def once(path: str, answer: Response) -> Response:
        if path in failed:
            return answer
        failed.add(path)
        return Response(status_code=503)

    with Double(jpeg, once).running() as there, open_slide(there) as slide, open_file(jpeg) as near:
        np.testing.assert_array_equal(whole(slide), whole(near))


def test_a_frame_that_the_archive_lost_is_a_tile_that_cannot_be_read(jpeg: Path) -> None:
    def lost(path: str, answer: Response) -> Response:
        return Response(status_code=404) if path.endswith("/frames/1") else answer

    with Double(jpeg, lost).running() as there, open_slide(there) as slide:
        with pytest.raises(TileUnreadable):
            slide.encoded_level(0).encoded(0, 0)
        assert slide.encoded_level(0).encoded(1, 0)


def test_a_frame_that_is_another_than_was_hashed_is_not_judged(jpeg: Path) -> None:
    def swapped(path: str, answer: Response) -> Response:
        if not path.endswith("/frames/1"):
            return answer
        return framed([double.frames()[1]], "1.2.840.10008.1.2.4.50")

    double = Double(jpeg, swapped)
    with double.running() as there, open_slide(there) as slide:
        with pytest.raises(SlideError, match="other frames than before") as caught:
            slide.encoded_level(0).encoded(0, 0)
        assert not isinstance(caught.value, TileUnreadable)


def spoiled(what: str, answer: Response) -> Callable[[str, Response], Response]:
    return lambda path, right: answer if what in path else right


HTML = Response("<html>log in</html>", headers={"content-type": "text/html"})


@pytest.mark.parametrize(
    ("what", "answer", "words"),
    [
        ("/metadata", HTML, "cannot be read"),
        ("/metadata", Response("[]"), "no whole-slide image"),
        ("/metadata", Response("[]", 206), "a part only"),  # dicomweb-client#94
        ("/metadata", Response(status_code=204), "does not know"),
        ("/metadata", Response("[{}]"), "no whole-slide image"),
        ("/metadata", Response("[1]"), "cannot be read"),
        ("/metadata", Response("[" * 200_000), "cannot be read"),
        ("/metadata", Response(b" " * 100_000_000), "larger than 64 MB"),
        ("/metadata", Response(status_code=302, headers={"location": "http://x"}), "answered 302"),
        ("/frames/", HTML, "frames"),
        ("/frames/", framed([b"one"], "1.2.840.10008.1.2.4.50"), "1 frames for 12"),
        ("/frames/", framed([b"x"] * 12, ""), "supported as RGB"),
        ("/frames/", Response(b"--a\r\n\r\nhalf", headers={"content-type": "multipart/related;"
                     " boundary=a"}), "cut short"),
        ("/frames/", Response(b"x", headers={"content-type": "multipart/related"}), "cut short"),
        ("/frames/", Response(b"x" * 100_000_000), "larger than"),
    ],
)  # fmt: skip
def test_nonsense_from_an_archive_is_the_slides_error_in_words(
    jpeg: Path, what: str, answer: Response, words: str
) -> None:
    with (
        Double(jpeg, spoiled(what, answer)).running() as there,
        pytest.raises(SlideError, match=words) as caught,
    ):
        open_slide(there)
    assert not [word for word in ("Error", "Traceback", "http://") if word in str(caught.value)]


def test_a_colour_profile_is_fetched_from_this_archive_whatever_host_it_names(
    shared_data: Path,
) -> None:
    """OHIF/Viewers#1602: behind a proxy, an archive names places that nobody reaches."""
    slide = shared_data / "dicom" / "highdicom" / "sm_image_jpegls.dcm"
    double = Double(slide)
    (path,) = double.header.OpticalPathSequence
    profile, asked = bytes(path.ICCProfile), list[str]()

    def elsewhere(place: str, right: Response) -> Response:
        if place.endswith("/bulk/1"):
            asked.append(place)
            return Response(profile, headers={"content-type": "application/octet-stream"})
        if not place.endswith("/metadata"):
            return right
        (told,) = json.loads(bytes(right.body))
        inside = told["00480105"]["Value"][0]
        uri = f"http://inside.example/pacs/{double.series}/instances/1/bulk/1"
        inside["00282000"] = {"vr": "OB", "BulkDataURI": uri}
        return Response(json.dumps([told]))

    double.spoil = elsewhere
    with double.running() as there, open_slide(there) as slide_there:
        assert slide_there.info.icc_profile == profile
    assert asked == [f"{double.series}/instances/1/bulk/1"]


def test_a_certificate_of_a_stranger_is_not_trusted(
    jpeg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificates(tmp_path)
    tls = {"ssl_certfile": tmp_path / "server.pem", "ssl_keyfile": tmp_path / "server.key"}
    with Double(jpeg).running(**tls) as there:
        with pytest.raises(SlideError, match="certificate is not trusted"):
            open_slide(there)
        monkeypatch.setenv(archives.AUTHORITY, str(tmp_path / "stranger.pem"))
        with pytest.raises(SlideError, match="certificate is not trusted"):
            open_slide(there)
        monkeypatch.setenv(archives.AUTHORITY, str(tmp_path / "ca.pem"))
        with open_slide(there) as slide:
            assert slide.info.size.width == 957


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("dicomweb+http://pacs.example/studies/1/series/2", SlideError),  # no TLS, not this machine
        ("dicomweb://user:password@pacs.example/studies/1/series/2", SlideError),
        ("dicomweb://pacs.example/studies/1", UnknownFormat),
        ("dicomweb://pacs.example/studies/1/series/2/instances/3", UnknownFormat),
        ("dicomweb://pacs.example/studies/../series/2", UnknownFormat),
        ("dicomweb://pacs.example:999999/studies/1/series/2", UnknownFormat),
        ("dicomweb:///studies/1/series/2", SlideError),
    ],
)
def test_an_address_that_is_none_or_may_not_be_asked_is_refused(
    place: str, error: type[SlideError]
) -> None:
    with pytest.raises(error) as caught:
        series_address(Path(place))
    assert "password@" not in str(caught.value)


def test_an_address_means_the_same_after_path_took_a_slash_away() -> None:
    text = "dicomweb://pacs.example:8443/dicom-web/studies/1.2/series/3.4"
    assert series_address(Path(text)) == series_address(text)
    assert series_address(text).url == text.replace("dicomweb", "https", 1)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.sampled_from(["a", "x-y_z"]))
def test_frames_come_out_of_an_answer_as_they_went_in(parts: list[bytes], mark: str) -> None:
    answer = framed(parts, "1.2.840.10008.1.2.1", f"{mark}-0f8d")
    found = parts_of(answer.headers["content-type"], bytes(answer.body))
    assert [one.content for one in found] == parts
    assert {one.syntax for one in found} == {"1.2.840.10008.1.2.1"}


@given(st.binary(max_size=200), st.text(max_size=60))
def test_whatever_an_archive_answers_is_parts_or_is_refused(body: bytes, kind: str) -> None:
    try:
        parts_of(f"multipart/related; boundary=ab{kind}", body)
    except NotMultipart:
        return


def test_no_request_asks_for_more_than_a_batch(cmu_dicom: Path) -> None:
    double = Double(cmu_dicom)
    with double.running() as there, open_slide(there):
        counts = [path.count(",") + 1 for path in double.asked if "/frames/" in path]
    assert sum(counts) == 130
    assert max(counts) <= 64
