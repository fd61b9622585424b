"""``dciodvfy`` of dicom3tools: what it says of an object, but for what is known and right."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.delivery.servers import missing

_KNOWN = [
    # our own coding scheme
    r"Warning - Unrecognized defined term <99WSIAI> for value 1 of attribute"
    r" <Coding Scheme Designator>",
    # younger than the tool (PS3.3 C.8.32.2)
    r"Warning - Unrecognized defined term <QUANTITY> for value 4 of attribute <(Image|Frame) Type>",
    # TILED_FULL leaves out what it says of each frame (PS3.3 C.7.6.17.3)
    r"Error - Missing attribute Type 1 Required Element=<(PlanePosition|PlaneOrientation"
    r"|PlanePositionSlide|SegmentIdentification)Sequence> Module=<\w+Macro>",
    r"Error - Missing attribute Type 1 Required Element=<PerFrameFunctionalGroupsSequence>"
    r" Module=<MultiFrameFunctionalGroupsFor(ParametricMap|Segmentation)>",
    # the tool's own: the attribute is not there
    r"Error - Only valid for AnnotationCoordinateType of 3D - attribute <CommonZCoordinateValue>"
    r" = <>",
    # Microscopy Bulk Simple Annotations as of 2022 knew no Specimen module
    r"Warning - Attribute is not present in standard DICOM IOD - \(0x(0040|0008),0x\w+\).*",
    r"Warning - Dicom dataset contains attributes not present in standard DICOM IOD"
    r" - this is a Standard Extended SOP Class",
    # a report that no archive completed names no patient
    r"Warning - Missing attribute or value that would be needed to build DICOMDIR - .*",
]
_ONLY_ANNOTATIONS = ("not present in standard", "CommonZCoordinateValue")


def complaints(file: Path) -> list[str]:
    program = shutil.which("dciodvfy")
    if program is None:
        missing("no dciodvfy: apt-get install dicom3tools")
        return []
    told = subprocess.run([program, file], capture_output=True, text=True, check=False)
    lines = [line for line in told.stderr.splitlines() if line]
    kinds = [line for line in lines if re.fullmatch(r"\w+", line)]
    if len(kinds) != 1:
        return lines
    known = [one for one in _KNOWN if kinds[0] == "MicroscopyBulkSimpleAnnotations"
             or not any(word in one for word in _ONLY_ANNOTATIONS)]  # fmt: skip
    return [
        line
        for line in lines
        if line != kinds[0] and not any(re.fullmatch(one, line) for one in known)
    ]
