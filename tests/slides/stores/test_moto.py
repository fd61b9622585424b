"""The same on an S3 server that others wrote."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import obstore
import pytest

from tests.models_for_tests import red_network, write_model
from tests.slides.stores.conftest import environment
from tests.slides.stores.moto import make_bucket, moto_server
from wsi_ai import open_result
from wsi_ai.app import RunOptions, run_slides
from wsi_ai.errors import OutputError, SlideChanged, SlideError, TransportError
from wsi_ai.results.bucket.objects import check_bucket
from wsi_ai.results.slide import Pages
from wsi_ai.slides.inputs import find_slides
from wsi_ai.slides.places import ReaderIo
from wsi_ai.slides.registry import open_slide
from wsi_ai.slides.stores.address import object_address
from wsi_ai.slides.stores.store import Store, open_store


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as url:
        make_bucket(url, "slides")
        yield url


@pytest.fixture
def bucket(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in environment(url, tmp_path / "staging").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WSI_AI_SCRATCH", str(tmp_path / "scratch"))
    return open_store(object_address("s3://slides"))


def test_sample_slides_are_the_same_however_they_are_read(bucket: Store, shared_data: Path) -> None:
    for slide in sorted((shared_data / "slides").iterdir()):
        content = slide.read_bytes()
        vouched = {"sha256": hashlib.sha256(content).hexdigest()}
        obstore.put(bucket, f"in/{slide.name}", content, attributes=vouched)
        at = Path(f"s3://slides/in/{slide.name}")
        for reader_io in ReaderIo:
            with open_slide(slide) as here, open_slide(at, reader_io=reader_io) as there:
                assert here.info == there.info
                place = (0, here.info.size.width // 3, here.info.size.height // 3, 400, 400)
                np.testing.assert_array_equal(here.read(*place), there.read(*place))
    found = find_slides([Path("s3://slides/in")])
    assert len(found.slides) == 3


def test_a_replaced_object_is_noticed(bucket: Store, cmu: Path) -> None:
    content, at = cmu.read_bytes(), Path("s3://slides/r/a.svs")
    obstore.put(bucket, "r/a.svs", content, attributes={"sha256": "0" * 64})
    with open_slide(at, reader_io=ReaderIo.RANGES) as slide:
        obstore.put(bucket, "r/a.svs", content + b" ")
        with pytest.raises(SlideChanged):
            slide.read(0, 0, 0, 600, 600)


def test_what_is_not_there_is_said(bucket: Store) -> None:
    with pytest.raises(SlideError, match="no such object"):
        open_slide(Path("s3://slides/nothing.svs"))
    with pytest.raises(TransportError, match="no such bucket"):
        open_slide(Path("s3://nobody/nothing.svs"))


def test_a_run_from_bucket_to_bucket(bucket: Store, cmu: Path, tmp_path: Path) -> None:
    obstore.put(bucket, "in/one.svs", cmu.read_bytes())
    model = write_model(tmp_path / "red", red_network(), mpp=4.0)
    options, out = RunOptions(pages=Pages.NONE), Path("s3://slides/out")
    (first,) = run_slides([Path("s3://slides/in/one.svs")], model, out, options)
    shutil.rmtree(tmp_path / "scratch")
    (again,) = run_slides([Path("s3://slides/in/one.svs")], model, out, options)
    assert first.fresh
    assert not again.fresh
    assert again.folder is not None
    place = again.folder.relative_to(again.folder.parents[1])
    assert open_result(f"s3://slides/out/{place}").level is first.level


def test_a_bucket_that_is_not_there_takes_no_results(bucket: Store) -> None:
    check_bucket(bucket, "out")
    with pytest.raises(OutputError):
        check_bucket(open_store(object_address("s3://nobody")), "out")
