"""The pictures of README.md and docs/tasks.md, made anew: python docs/make_task_pictures.py"""

import tempfile
from pathlib import Path

from PIL import Image

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


if __name__ == "__main__":
    main()
