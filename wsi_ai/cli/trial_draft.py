"""``wsi-ai trial protocol new``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from wsi_ai.cli.output import Exit, exit_on_error, say
from wsi_ai.errors import TrialError
from wsi_ai.models.approval import approved_card
from wsi_ai.models.site import load_site
from wsi_ai.trial.documents import Document
from wsi_ai.trial.draft import (
    QUESTIONS,
    draft,
    example_index_test,
    example_sites,
    index_test_of,
    sites_of,
    write_draft,
)


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What speaks for itself; where it is not there, the draft has placeholders."""

    model: Path | None
    policy: Path | None
    keys: Path | None

    def index_test(self) -> Document:
        if self.model is None:
            return example_index_test()
        return index_test_of(approved_card(self.model, load_site(None)), self.policy)


@exit_on_error
def new_protocol(out: Path, given: Sequence[str], made_of: MadeOf, *, example: bool) -> int:
    answers = _given(given)
    for question in QUESTIONS:
        if question.field not in answers:
            answers[question.field] = (
                question.example
                if example
                else str(typer.prompt(question.asks, default=question.example))
            )
    sites = sites_of(made_of.keys) if made_of.keys else example_sites()
    write_draft(draft(answers, made_of.index_test(), sites), out)
    say(f"{out}: read it, change it, then wsi-ai trial protocol check")
    return Exit.OK


def _given(words: Sequence[str]) -> dict[str, str]:
    fields = {question.field for question in QUESTIONS}
    found = {}
    for word in words:
        field, equals, value = word.partition("=")
        if field not in fields or not equals:
            raise TrialError(f"--answer {field}: there is no such question")
        found[field] = value
    return found
