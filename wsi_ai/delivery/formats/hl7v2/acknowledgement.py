"""ACK: what a receiver answers, and what we answer."""

from wsi_ai.delivery.formats.hl7v2.text import SEPARATORS, Parsed, field, parsed, segment

ACCEPTED = frozenset({"AA", "CA"})
IN_ERROR = frozenset({"AE", "CE"})
REJECTED = frozenset({"AR", "CR"})


def read(content: bytes) -> tuple[str, str]:
    """The code of an acknowledgement, and the control id of the message that it is about.  What
    engines write beside them is of no use here, in whatever character set.  Raises NotHl7."""
    message = parsed(content.decode("ascii", "replace").encode())
    return message.first("MSA", 1), message.first("MSA", 2)


def render(to: Parsed | None, code: str, text: str, stamp: str) -> bytes:
    """To a message, or to what was none.  ``text`` names no slide and no case."""
    first = to.first if to is not None else _nothing
    answer = ("ORL", "O22", "ORL_O22") if first("MSH", 9) == "OML" else ("ACK", first("MSH", 9, 2))
    lines = [
        segment(
            f"MSH|{SEPARATORS[1:]}", field(first("MSH", 5)), field(first("MSH", 6)),
            field(first("MSH", 3)), field(first("MSH", 4)), stamp, "",
            field(*answer), field(first("MSH", 10)) or "0",
            field(first("MSH", 11)) or "P", field(first("MSH", 12)) or "2.5.1",
        ),
        segment("MSA", code, field(first("MSH", 10)), field(text)),
    ]  # fmt: skip
    return "".join(f"{line}\r" for line in lines).encode()


def _nothing(name: str, number: int, component: int = 1) -> str:
    return ""
