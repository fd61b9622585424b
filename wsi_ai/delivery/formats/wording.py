"""How levels and reasons read for a person, the same in every format."""

from wsi_ai.core.flags import Level
from wsi_ai.delivery.messages import Retraction

LEVELS = {
    Level.EXPEDITE: "Expedite review",
    Level.STANDARD: "Standard order",
    Level.NOT_ASSESSED: "Not assessed",
}
REASONS = {
    Retraction.SLIDE_RESCANNED: "Slide rescanned",
    Retraction.SLIDE_MISIDENTIFIED: "Slide misidentified",
    Retraction.MODEL_DEFECT: "Model withdrawn",
    Retraction.QC_OVERTURNED: "Quality check overturned",
    Retraction.DUPLICATE: "Duplicate",
    Retraction.OPERATOR: "Taken back by an operator",
}
