"""The pictures of README.md, docs/tasks.md and docs/report.md, made anew, the last one by Chromium:
python docs/make_task_pictures.py"""

import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from wsi_ai.app import RunOptions, run_slides
from wsi_ai.demo import SampleSpec, write_sample_slide

HERE = Path(__file__).resolve().parent
WIDTH = 1000
PICTURES = {
    "overlay": ("demo-tumour", None),
    "overlay-segmentation": ("demo-stains", None),
    "overlay-detection": ("demo-nuclei", HERE.parent / "configs" / "objects.toml"),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        slide = Path(scratch) / "sample.svs"
        write_sample_slide(slide, SampleSpec(tumour=True))
        for name, (model, policy) in PICTURES.items():
            options = RunOptions(policy=policy)
            (done,) = run_slides([slide], HERE.parent / "models" / model, Path(scratch), options)
            if done.folder is None:
                raise SystemExit(done.reason)
            with Image.open(done.folder / "overlay.png") as picture:
                height = round(picture.height * WIDTH / picture.width)
                small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
            small.save(HERE / f"{name}.png", optimize=True)
            print(f"{name}: {done.reason}")
            if name == "overlay":
                photograph(done.folder / "report.html", HERE / "report.jpg")


def photograph(page: Path, picture: Path) -> None:
    """The first screen of a page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        screen = browser.new_page(viewport={"width": 1280, "height": 800})
        screen.goto(page.as_uri())
        screen.screenshot(path=picture, type="jpeg", quality=80)
        browser.close()


if __name__ == "__main__":
    main()
