"""Make docs/transcript.md: what a receiver's worklist saw of two slides.

    python docs/make_transcript.py

Draws two sample slides and runs the demo model on them, posting to the reference receiver: an early
flag, its amendment, a retraction, a recall of the model; then the audit, verified, and refused with
one byte changed.  Everything here is synthetic.
"""

import base64
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpcore

ROOT = Path(__file__).resolve().parent.parent
PORT = "8699"
BASE = f"http://127.0.0.1:{PORT}"
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
HEAD = """# What the worklist saw

Made by [make_transcript.py](make_transcript.py) from two synthetic slides and the demo model.
AI-generated, unverified. Research use only. Not for primary diagnosis.

The times are those of two busy cores; [performance.md](performance.md) has measured ones.

"""
CASES = """file,trust,accession,slide_id,block,stain
first.svs,RXX,S26-0001,S26-0001-A1-1,A1,H&E
second.svs,RXX,S26-0002,S26-0002-A1-1,A1,H&E
"""
SHORT = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")


class Transcript:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = [HEAD]
        self.environment = {**os.environ, "WSI_AI_WEBHOOK_KEY": KEY}

    def title(self, text: str) -> None:
        self.lines.append(f"## {text}\n")

    def run(self, *words: str) -> str:
        """Run a command as a person would, and write down what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "wsi_ai", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = shortened(done.stdout) + f"exit status {done.returncode}\n"
        self.lines.append(f"```\n$ wsi-ai {shlex.join(words)}\n{said}```\n")
        return done.stdout

    def worklist(self) -> None:
        self.lines.append(f"The worklist now:\n\n{table(fetched())}\n")


def shortened(text: str) -> str:
    return SHORT.sub(r"\1…", text)


def fetched() -> list[dict[str, object]]:
    return list(json.loads(httpcore.request("GET", f"{BASE}/worklist").content)["worklist"])


def table(lines: list[dict[str, object]]) -> str:
    if not lines:
        return "*empty*\n"
    rows = ["| slide | level | revision | analysed | said |", "|---|---|---|---|---|"]
    for line in lines:
        share = f"{float(str(line['analysed_fraction'])):.0%}"
        rows.append(
            f"| {line['slide']} | {line['level']} | {line['revision']} | {share} |"
            f" {line['explanation']} |"
        )
    return "\n".join(rows) + "\n"


@contextmanager
def receiving(transcript: Transcript) -> Iterator[None]:
    folder = transcript.folder
    (folder / "key").write_text(KEY)
    words = ["receive", "--key", "file:key", "--store", "inbox.db", "--port", PORT]
    server = subprocess.Popen([sys.executable, "-m", "wsi_ai", *words], cwd=folder)
    try:
        for _ in range(600):
            with contextlib.suppress(httpcore.ConnectError):
                httpcore.request("GET", f"{BASE}/health")
                break
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait()


@contextmanager
def watching(transcript: Transcript) -> Iterator[None]:
    """Writes down each change of the worklist while the block runs, and when it came."""
    stop, began, seen = threading.Event(), time.monotonic(), [fetched()]

    def watch() -> None:
        while not stop.wait(0.02):
            now = fetched()
            if now != seen[-1]:
                seen.append(now)
                at = f"{time.monotonic() - began:.1f} s"
                transcript.lines.append(f"At {at}:\n\n{table(now)}\n")

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    time.sleep(0.5)
    stop.set()
    thread.join()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        transcript = Transcript(Path(name))
        (transcript.folder / "models").symlink_to(ROOT / "models")
        (transcript.folder / "cases.csv").write_text(CASES)
        for slide, seed in (("first.svs", "1"), ("second.svs", "3")):
            words = ["demo-slide", slide, "--tumour", "--seed", seed]
            subprocess.run(
                [sys.executable, "-m", "wsi_ai", *words], cwd=transcript.folder, check=True
            )
        with receiving(transcript):
            tell(transcript)
    (ROOT / "docs" / "transcript.md").write_text("\n".join(transcript.lines), "utf-8")


def tell(transcript: Transcript) -> None:
    at = ["--outbox", "out/outbox.db"]
    run = ["--model", "models/demo-tumour", "--out", "out", "--cases", "cases.csv"]
    send = ["--send", f"{BASE}/flags"]
    transcript.title("A slide is run: the flag is raised early, and amended at the end")
    with watching(transcript):
        transcript.run("run", "first.svs", *run, *send)
    transcript.title("The same again: nothing new, so nothing is sent")
    with watching(transcript):
        transcript.run("run", "first.svs", *run, *send)
    transcript.title("It was the wrong slide: the flag is taken back")
    flag_id = transcript.run("flags", "list", *at).splitlines()[1].split()[0]
    transcript.run("flags", "retract", flag_id, "--reason", "slide_misidentified", *at)
    transcript.run("outbox", "drain", *at, *send)
    transcript.worklist()
    transcript.title("A second slide, and then its model is recalled")
    with watching(transcript):
        transcript.run("run", "second.svs", *run, *send)
    model = (ROOT / "models" / "demo-tumour" / "model.toml").read_text()
    version = re.findall(r'^version = "(.*)"', model, re.MULTILINE)[0]
    transcript.run("recall", "--model", "demo-tumour", "--version", version, *at)
    transcript.run("outbox", "drain", *at, *send)
    transcript.worklist()
    transcript.title("What was sent, and the audit of it")
    transcript.run("outbox", "list", *at)
    transcript.run("audit", "verify", "out/outbox.db.audit.jsonl")
    audit = transcript.folder / "out" / "outbox.db.audit.jsonl"
    audit.write_bytes(audit.read_bytes().replace(b'"revision":1', b'"revision":7', 1))
    transcript.lines.append("One byte of the audit is changed:\n")
    transcript.run("audit", "verify", "out/outbox.db.audit.jsonl")


if __name__ == "__main__":
    main()
