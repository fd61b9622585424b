"""From a file of weights to a draft of its model card: what the file says, what the user says, and
TODO for what neither does."""

from wsi_ai.models.drafts.fields import typed, with_fields
from wsi_ai.models.drafts.incomplete import with_texts_to_write, without_texts
from wsi_ai.models.drafts.questions import QUESTIONS
from wsi_ai.models.drafts.table import check_table, draft_table
from wsi_ai.models.drafts.weights import inspect_weights
from wsi_ai.models.drafts.writing import read_draft, write_model

__all__ = [
    "QUESTIONS",
    "check_table",
    "draft_table",
    "inspect_weights",
    "read_draft",
    "typed",
    "with_fields",
    "with_texts_to_write",
    "without_texts",
    "write_model",
]
