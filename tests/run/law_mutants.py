"""Break the law of docs/runs.md in one place at a time.

``python -m tests.run.law_mutants`` prints what notices each of them, as a table; with
a part of a name, those alone."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STANDING, ANSWERS = "run/standing.py", "run/flag_answer.py"
MISTAKE = "test_no_mistake_lowers_a_sent_level_or_removes_a_result"
MUTANTS = (
    ("a failure overwrites what stands", ANSWERS, "if stands is not None:", "if False:", "fails"),
    (
        "the outbox is not asked before a failure is put",
        ANSWERS,
        "sent is not None and sent.sent and sent.level is not Level.NOT_ASSESSED",
        "False",
        "fails",
    ),
    (
        "only finished results stand, not those whose flag waits",
        STANDING,
        'record.get("failed") and level is Level.NOT_ASSESSED',
        'record.get("failed")',
        "EXHAUSTIVE share",
    ),
    ("lower levels are sent", STANDING, "standing.is_lowered_by(level, fingerprint)", "False", "amend"),  # noqa: E501
    ("--amend is always on", STANDING, "or self.amend or", "or True or", "amend"),
    ("standard may be taken back", "core/flags.py", "Level.STANDARD: 1,", "Level.STANDARD: 0,", "not_taken_back"),  # noqa: E501
    ("--mpp replaces what the file says", "run/opening.py", "or options.override_mpp:", "or True:", "mpp"),  # noqa: E501
    (
        "a slide that cannot be read has no earlier answer",
        ANSWERS,
        "if flag.slide.reader == UNREAD:",
        "if False:",
        "share",
    ),
    ("vectors are overwritten by a failure", "run/vector_answer.py", "or vectors_stand(job.folder)", "", "fails"),  # noqa: E501
    (
        "a newcomer under a known identity is judged",
        "run/newcomer.py",
        "if earlier.is_of(slide_sha256):",
        "if True:",
        "newcomer",
    ),
    (
        "rescan_of may name any slide",
        "run/newcomer.py",
        "if named != identity.slide_id and",
        "if False and",
        "new_scan",
    ),
    (
        "an older folder of results counts against the outbox",
        STANDING,
        "return standing.flag if same and",
        "return standing.flag if False and",
        "not_those",
    ),
    ("doubt takes back an expedite", STANDING, "if level is Level.STANDARD:", "if True:", "newcomer"),  # noqa: E501
    ("the doubt is forgotten with the next run", STANDING, "if standing.in_doubt and", "if False and", "newcomer"),  # noqa: E501
    ("a policy infers again", ANSWERS, "if not self.force and (found", "if False and (found", "amend"),  # noqa: E501
    ("--force judges kept scores", ANSWERS, "if not self.force and (found", "if (found", "not_taken_back"),  # noqa: E501
    ("twins of one run are not looked for", "run/twins.py", "if len(set(group)) == 1:", "if True:", "two_slides"),  # noqa: E501
)  # fmt: skip
"""What is broken, where, and which tests are run."""


def main(only: str = "") -> int:
    survivors = 0
    mutants = [mutant for mutant in MUTANTS if only in mutant[0]]
    for name, file, old, new, words in mutants:
        noticed = _noticed(file, old, new, words.removeprefix("EXHAUSTIVE ").replace(" ", " or "),
                           exhaustive=words.startswith("EXHAUSTIVE"))  # fmt: skip
        survivors += not noticed
        print(f"{name:55} {noticed or 'SURVIVES'}", flush=True)
    print(f"{len(mutants)} mutants, {survivors} survive")
    return survivors


def _noticed(file: str, old: str, new: str, words: str, *, exhaustive: bool) -> str:
    """The test that fails first."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("wsi_ai", "tests", "pyproject.toml"):
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, Path(folder) / part)
        path = Path(folder) / "wsi_ai" / file
        text = path.read_text("utf-8")
        if old not in text:
            raise SystemExit(f"{file} has no longer: {old}")
        path.write_text(text.replace(old, new), "utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "tests/run/test_law.py", "-k", words]
        environment = {"WSI_AI_EXHAUSTIVE": "1"} if exhaustive else {}
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"], cwd=folder, capture_output=True, text=True,
            env={"PATH": "/usr/bin:/bin", "HOME": folder, **environment},
        )  # fmt: skip
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return failed[0].partition("::")[2].partition(" - ")[0] if failed else ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
