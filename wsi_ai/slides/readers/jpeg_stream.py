"""Making stored JPEG tiles complete: shared tables in front, and colours as the container says.

A container's word on colours (TIFF's photometric tag, DICOM's photometric interpretation) goes
over what a JPEG stream says of itself, as in OpenSlide.  It is put where libjpeg looks for it: an
Adobe segment, after the stream's own such segments are taken out.  But what the stream cannot be it
is not: components of different sizes (4:2:0, 4:2:2) are YCbCr, whatever the container says.
"""

SOI, EOI, SOS = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_JFIF, _ADOBE = 0xE0, 0xEE
_ADOBE_SEGMENT = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
"""All but its last byte: 0 for RGB, 1 for YCbCr."""
_FRAMES = (0xC0, 0xC1, 0xC2)


def prefix_for(tables: bytes | None, transform: int | None) -> bytes:
    """What comes before each tile's own stream.

    ``transform`` is 0 where the components are RGB, 1 where they are YCbCr, ``None`` for grey.
    """
    prefix = SOI
    if tables:
        tables = tables.removesuffix(EOI)
        segments, at = _unmarked(tables)
        prefix = tables[:2] + segments + tables[at:]
    return prefix if transform is None else prefix + _ADOBE_SEGMENT + bytes([transform])


def _as_ycc(prefix: bytes) -> bytes:
    return prefix[:-1] + b"\x01" if prefix.endswith(_ADOBE_SEGMENT + b"\x00") else prefix


def _is_subsampled(segments: bytes) -> bool:
    """By the frame's header: its components are not all stored at one size (ITU-T T.81 B.2.2)."""
    at = 0
    while at + 4 <= len(segments) and segments[at] == SOI[0]:
        if segments[at + 1] in _FRAMES and at + 10 <= len(segments):
            components = segments[at + 9]
            factors = segments[at + 11 : at + 10 + 3 * components : 3]
            return components == 3 and len(set(factors)) > 1
        at += 2 + int.from_bytes(segments[at + 2 : at + 4], "big")
    return False


class TileStreams:
    """Makes whole JPEG streams of tiles that start with their own SOI.  Threads may share it.

    An encoder begins all tiles with the same segments, so the last beginning is kept.
    """

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._known: tuple[bytes, bytes] | None = None
        """A beginning, up to its SOS, and what stands in its place."""

    def __call__(self, data: bytes) -> bytes:
        known = self._known
        if known is None or not data.startswith(known[0]):
            segments, at = _unmarked(data)
            prefix = _as_ycc(self._prefix) if _is_subsampled(segments) else self._prefix
            known = data[:at], prefix + segments
            if data.startswith(SOS, at):
                self._known = known[0] + SOS, known[1] + SOS
        return known[1] + data[len(known[0]) :]


def _unmarked(data: bytes) -> tuple[bytes, int]:
    """The segments after SOI, without those that speak of colours, and where they end: at SOS, or
    where the data does (ITU-T T.81 B.1.1.4 for the layout)."""
    kept, at = [], 2
    while at + 4 <= len(data) and data[at] == SOS[0] and data[at + 1] != SOS[1]:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] not in (_JFIF, _ADOBE):
            kept.append(data[at:end])
        at = end
    return b"".join(kept), at
