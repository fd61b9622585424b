"""Slides in, nothing out: each flag goes to a keeper, as a silent trial asks for."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from wsi_ai.core.cards import Task
from wsi_ai.core.contracts import Watcher
from wsi_ai.core.flags import DOUBT
from wsi_ai.core.seals import site_key
from wsi_ai.errors import IdentityShared, ModelError
from wsi_ai.inference.registry import devices_asked, open_runtime
from wsi_ai.models.approval import approved_card
from wsi_ai.models.site import load_site
from wsi_ai.run.assembly import Assembly
from wsi_ai.run.kept_answer import Keeper, Kept, KeptFor
from wsi_ai.run.no_ops import NoPost, NoWatcher
from wsi_ai.run.on_devices import on_devices
from wsi_ai.run.options import RunOptions
from wsi_ai.run.run_slides import STILL_WRITTEN, UNREAD_TWIN
from wsi_ai.run.twins import apart
from wsi_ai.slides.identity import load_cases
from wsi_ai.triage.policy import load_policy, policy_for


def run_silently(
    slides: Sequence[Path],
    model: Path,
    work: Path,
    keeper: Keeper,
    options: RunOptions | None = None,
    watch: Watcher | None = None,
) -> Iterator[Kept]:
    """Run one model over slides, in order, and hand every flag to ``keeper``; an outcome for each
    slide says whether it is kept, and nothing else.

    No report, picture, index, summary or record of the run is written.  ``work`` holds what is
    inferred of the slide at hand; its owner removes it.

    Raises as ``run_slides``, before any slide.
    """
    options = options or RunOptions()
    site = load_site(options.trusted_keys)
    policy = load_policy(options.policy) if options.policy else None
    card = approved_card(model, site, options.precision)
    if card.task is Task.EMBEDDING:
        raise ModelError(f"{card.ref.name} gives embeddings and no flag")
    policy_for(card, policy)
    devices, cases = devices_asked(options.device), load_cases(options.cases)
    site_key()  # what is inferred is sealed with it until the slide is through
    answer_for = KeptFor(keeper, policy, cases, work, options.rescan)
    assembly = Assembly(answer_for, policy, options, [card], open_runtime)
    found = apart(slides, cases, assembly.open_slide)
    yield from on_devices(assembly, devices, found.alone, watch or NoWatcher(), NoPost())
    for slide in found.shared:
        yield assembly.failed(card, slide, DOUBT, NoPost(), IdentityShared(DOUBT))
    for reason, some in ((UNREAD_TWIN, found.unread), (STILL_WRITTEN, options.growing)):
        for slide in some:
            yield assembly.not_judged(card, slide, reason, NoPost())
