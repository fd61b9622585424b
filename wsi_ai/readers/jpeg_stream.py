"""Making stored JPEG tiles complete: shared tables in front, and colours as the container says.

A container's word on colours (TIFF's photometric tag, DICOM's photometric interpretation) goes
over what a JPEG stream says of itself, as in OpenSlide.  It is put where libjpeg looks for it: an
Adobe segment, after the stream's own such segments are taken out.
"""

SOI, EOI, SOS = b"\xff\xd8", b"\xff\xd9", 0xDA
_JFIF, _ADOBE = 0xE0, 0xEE


def prefix_for(tables: bytes | None, transform: int | None) -> bytes:
    """What comes before each tile's own stream.

    ``transform`` is 0 where the components are RGB, 1 where they are YCbCr, ``None`` for grey.
    """
    prefix = SOI if not tables else _unmarked(tables.removesuffix(EOI))
    if transform is None:
        return prefix
    return prefix + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def tile_stream(prefix: bytes, data: bytes) -> bytes:
    """A whole JPEG stream of a tile that starts with its own SOI."""
    head = data[:1024]
    if b"\xff\xe0" in head or b"\xff\xee" in head:
        data = _unmarked(data)
    return prefix + data[2:]


def _unmarked(data: bytes) -> bytes:
    """Without the segments that speak of colours (ITU-T T.81 B.1.1.4 for the layout)."""
    kept, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != SOS:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] not in (_JFIF, _ADOBE):
            kept.append(data[at:end])
        at = end
    return b"".join((*kept, data[at:]))
