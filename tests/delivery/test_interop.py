"""The same flag in every system at once: see ``interop``."""

from tests.delivery import interop


def test_every_system_follows_a_flag_to_its_end_and_each_wrong_setting_is_named() -> None:
    lines = list[str]()
    interop.main(lines.append)
    text = "\n".join(lines)
    raised, _, rest = text.partition("## amended")
    amended, _, rest = rest.partition("## taken back")
    taken, _, checks = rest.partition("## wsi-ai sinks check")
    for part in (raised, amended):
        shown = [line for line in part.splitlines() if line.startswith("  ")]
        assert shown
        assert all("xp" in line for line in shown), part  # expedite, EXP
        assert "0 left" in text
    assert "urgent" not in taken
    assert "xpedite" not in taken
    assert "not on the worklist" in taken
    for line in filter(None, checks.splitlines()):
        right = line.strip().startswith("as it should be")
        assert ("[0]" in line and "works" in line) if right else "[1]" in line, line
