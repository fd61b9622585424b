"""A report of ours, read back: from a file, or from the DICOM JSON that an archive gives of it."""

import io
from collections.abc import Iterator
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from wsi_ai.core.flags import Level
from wsi_ai.delivery.formats.dicom import codes
from wsi_ai.delivery.formats.event import Summary
from wsi_ai.delivery.messages import Held

_RETRACT = "retract"
_PARAMETER = ("111002", "DCM")


class NotOurs(Exception):
    """A document that is none of our reports."""


def parse(content: bytes) -> Summary:
    """Raises NotOurs."""
    return summary(pydicom.dcmread(io.BytesIO(content)))


def summary(document: Dataset) -> Summary:
    """What a report says of its flag.  Raises NotOurs."""
    found, parameters = contents(document)
    try:
        retracted = found[codes.ACTION] == _RETRACT
        return Summary(
            flag_id=found[codes.FLAG],
            revision=int(found[codes.REVISION]),
            retracted=retracted,
            accession=found[codes.ACCESSION],
            slide_id=found[codes.SLIDE],
            level=Level(found[codes.BEFORE if retracted else codes.PRIORITY]),
            score=found.get(codes.SCORE),
            threshold=found[codes.THRESHOLD],
            weights_sha256=parameters[codes.WEIGHTS],
            statement=found[codes.STATEMENT],
        )
    except (KeyError, ValueError, TypeError):
        raise NotOurs from None


def held(document: Dataset) -> Held:
    """Which revision of its flag a report is.  Raises NotOurs."""
    found, _ = contents(document)
    try:
        return Held(
            revision=int(found[codes.REVISION]),
            event_id=str(found[codes.EVENT]),
            answer=str(found[codes.ANSWER]),
            retracted=found[codes.ACTION] == _RETRACT,
        )
    except (KeyError, ValueError, TypeError):
        raise NotOurs from None


def contents(document: Dataset) -> tuple[dict[str, Any], dict[str, str]]:
    """Values by code of ours, and the algorithm's parameters.  What regions say has codes of its
    own."""
    found: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    try:
        for item in _items(document):
            name, scheme = _name(item)
            if scheme == codes.SCHEME:
                found.setdefault(name, _value(item))
            elif (name, scheme) == _PARAMETER:
                key, _, value = str(item.TextValue).partition("=")
                parameters.setdefault(key, value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise NotOurs from None
    return found, parameters


def _items(document: Dataset) -> Iterator[Dataset]:
    for item in document.get("ContentSequence") or []:
        yield item
        yield from _items(item)


def _name(item: Dataset) -> tuple[str, str]:
    """Code and scheme of what an item is about; empty where it does not say."""
    for name in item.get("ConceptNameCodeSequence") or []:
        return _code(name), str(name.get("CodingSchemeDesignator", ""))
    return "", ""


def _code(coded: Dataset) -> str:
    """Of more than 16 signs it stands elsewhere (PS3.3 8.1)."""
    return str(coded.get("CodeValue") or coded.get("LongCodeValue") or "")


def _value(item: Dataset) -> Any:
    match item.ValueType:
        case "TEXT":
            return str(item.TextValue)
        case "CODE":
            return _code(item.ConceptCodeSequence[0])
        case "NUM":
            measured = item.MeasuredValueSequence[0]
            return float(measured.get("FloatingPointValue", measured.NumericValue))
    return None
