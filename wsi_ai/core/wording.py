"""Numbers of things in plain English."""


def counted(number: int, noun: str) -> str:
    """``1 flag``, ``2 flags``, ``0 deliveries``."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}s"


def verb(number: int, one: str, several: str) -> str:
    """The word that goes with the number: ``1 flag was``, ``2 flags were``."""
    return one if number == 1 else several
