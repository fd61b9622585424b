"""A queue, in the database of an outbox."""

import time
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

from sqlalchemy import Engine

from wsi_ai.core.cards import ModelCard
from wsi_ai.errors import InputError
from wsi_ai.models.approval import approved_card
from wsi_ai.models.site import load_site
from wsi_ai.service.arrivals import Choose, one_question
from wsi_ai.service.database.opening import make_service_tables
from wsi_ai.service.queue import Queue
from wsi_ai.service.routing.loading import load_routing


def open_queue(engine: Engine) -> Queue:
    """Raises OutputError."""
    make_service_tables(engine)
    return Queue(engine, time.time, SystemRandom())


def models_for(
    routing: Path | None, models: Sequence[Path], trusted_keys: Path | None = None
) -> Choose:
    """By rules, or always the same.  Raises InputError where neither or both are given, PolicyError
    or ModelError where one of them is wrong."""
    if routing is None:
        return one_question([name for name, _ in approved_names(models, trusted_keys)])
    if models:
        raise InputError("--model or --routing: a slide's models come from one of them")
    return load_routing(routing, trusted_keys).choices


def approved_names(
    models: Sequence[Path], trusted_keys: Path | None = None
) -> list[tuple[str, ModelCard]]:
    """Models as jobs name them, with their cards: a folder by its whole path, for the worker has
    another one at hand.  Raises ModelError where one may not run, or InputError where none is
    named."""
    if not models:
        raise InputError("which model is to judge the slides? --model NAME[@VERSION]")
    site = load_site(trusted_keys)
    return [
        (str(model.resolve()) if model.exists() else str(model), approved_card(model, site))
        for model in models
    ]
