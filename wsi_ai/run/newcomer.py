"""A slide that comes under an identity that another one had before."""

from collections.abc import Sequence
from pathlib import Path

from wsi_ai.core.flags import DOUBT, Identity, Level, Standing
from wsi_ai.errors import IdentityShared, SlideError
from wsi_ai.slides.readers.fingerprint import fingerprint


def refuse_newcomer(
    earlier: Standing | None, slide_sha256: str, identity: Identity, rescan_of: Sequence[str]
) -> None:
    """Raises IdentityShared where ``earlier`` was put of other bytes, unless the slide's row of the
    cases says that it is a new scan of that glass: by the slide's id, or by the file that was
    judged.  One that names another slide says nothing."""
    if earlier is None or (earlier.level is Level.NOT_ASSESSED and not earlier.in_doubt):
        return
    if earlier.is_of(slide_sha256):
        return
    if not rescan_of:
        raise IdentityShared(
            f"{DOUBT}; --rescan, or rescan_of in its row of the cases, says that it is a new scan"
            " of the same glass"
        )
    for named in rescan_of:
        if named != identity.slide_id and _sha256_of(Path(named)) != earlier.fingerprint:
            raise IdentityShared(
                f"{DOUBT}; rescan_of names neither its slide id nor the file that was judged"
            )


def _sha256_of(path: Path) -> str:
    try:
        return fingerprint(path)
    except SlideError:
        return ""
