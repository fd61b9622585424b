"""What somebody sends, and no more of it than is asked here."""

from starlette.requests import Request


async def body_within(request: Request, most_bytes: int) -> bytes | None:
    """``None`` where it is longer; then the rest of it is not read."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most_bytes:
            return None
    return bytes(body)
