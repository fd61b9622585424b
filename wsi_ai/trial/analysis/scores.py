"""Does a score mean what it says?  Calibration of probabilities; of other scores, what was seen."""

from dataclasses import asdict

import numpy as np

from wsi_ai.trial.analysis.accuracy import Found, shown
from wsi_ai.trial.analysis.cases import CaseTable
from wsi_ai.trial.documents import Document
from wsi_ai.trial.evidence.benefit import net_benefit, net_benefit_of_all
from wsi_ai.trial.evidence.calibration import (
    Band,
    Calibration,
    Probabilities,
    bands,
    brier,
    calibration,
    expected_calibration_error,
)
from wsi_ai.trial.evidence.estimates import NotEstimable

CALIBRATED = "calibrated_probability"
_EDGES = np.arange(11) / 10


def scores(table: CaseTable, protocol: Document) -> Found:
    """Of assessed cases.  An error of calibration is given only where the protocol and every flag
    call the score a calibrated probability: of another score it is noise."""
    assessed = table.where(~table.failed)
    place = assessed.place
    if not ((place >= 0) & (place <= 1)).all():
        return {"bands": [], "calibration": None, "why": "a score is not between 0 and 1"}
    data = Probabilities(place, assessed.truth)
    kinds = {slide.score_kind for one in assessed.cases for slide in one.slides}
    kinds.add(protocol["index_test"]["score_kind"])
    return {
        "bands": [_band(band) for band in bands(data, _EDGES)],
        "calibration": _calibration(data, protocol) if kinds == {CALIBRATED} else None,
        "why": None if kinds == {CALIBRATED} else "the score is not a calibrated probability",
    }


def _band(band: Band) -> Found:
    return {
        "low": band.low,
        "high": band.high,
        "mean_score": band.mean_score,
        "cases": band.cases,
        "observed": shown(band.observed),
    }


def _calibration(data: Probabilities, protocol: Document) -> Found:
    fitted, threshold = calibration(data), protocol["index_test"]["operating_point"]
    return {
        "fit": asdict(fitted) if isinstance(fitted, Calibration) else None,
        "why": fitted.reason if isinstance(fitted, NotEstimable) else None,
        "expected_error": _number(expected_calibration_error(data)),
        "brier": _number(brier(data)),
        "net_benefit": _number(net_benefit(data.probability, data.truth, threshold)),
        "net_benefit_of_all": _number(net_benefit_of_all(data.truth, threshold)),
    }


def _number(value: float | NotEstimable) -> float | None:
    return None if isinstance(value, NotEstimable) else value
