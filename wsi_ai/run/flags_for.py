"""The flags that a run gives, by any of its models."""

from functools import partial
from pathlib import Path

from wsi_ai.core.cards import ModelCard
from wsi_ai.core.contracts import Post
from wsi_ai.run.answer import AnswerFor
from wsi_ai.run.flag_answer import FlagAnswer
from wsi_ai.run.no_ops import NoPost
from wsi_ai.run.options import RunOptions
from wsi_ai.run.outcome import Outcome
from wsi_ai.slides.identity import Cases
from wsi_ai.triage.policy import Policy, policy_for


def flags_for(
    policy: Policy | None, cases: Cases, out: Path, options: RunOptions | None = None
) -> AnswerFor[Outcome]:
    """Without a policy, by the one that comes with each model, else the default."""
    chosen = options or RunOptions()
    return partial(_flags, policy=policy, cases=cases, out=out, options=chosen)


def _flags(
    card: ModelCard,
    post: Post,
    *,
    policy: Policy | None,
    cases: Cases,
    out: Path,
    options: RunOptions,
) -> FlagAnswer:
    return FlagAnswer(
        card=card,
        post=post if options.extent is None else NoPost(),
        policy=policy_for(card, policy),
        cases=cases,
        out=out,
        formats=options.formats,
        amend=options.amend,
        rescan=options.rescan,
        force=options.force,
        extent=options.extent,
        pages=options.pages,
        published=options.published,
    )
