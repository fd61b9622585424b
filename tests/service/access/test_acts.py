"""What people did, on SQLite and on PostgreSQL."""

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select, update
from typer.testing import CliRunner

from wsi_ai.cli import app
from wsi_ai.delivery.audit import AuditBroken
from wsi_ai.service.access import acts
from wsi_ai.service.access.acts import Wanted
from wsi_ai.service.access.who import ONE_PERSON, Right, Role, Scope, Who
from wsi_ai.service.database.opening import open_service_database
from wsi_ai.service.database.tables import act

AMY = Who("subject:amy", "Amy", frozenset())
OTHERS: dict[str, Any] = {
    "n": 99, "at": 5.0, "who": "subject:bob", "what": "other", "ids": {"flag": "g"},
    "trust": "RYY", "before": "0" * 64, "sha256": "1" * 64,
}  # fmt: skip


def done(engine: Engine, times: int = 1, trust: str | None = "RXX") -> None:
    with engine.begin() as connection:
        for n in range(times):
            acts.append(connection, AMY, "flag acknowledged", {"flag": f"f{n}"}, trust, 1.5 + n)


def test_a_chain_holds_whatever_was_done_when_and_by_whom(engine: Engine) -> None:
    text = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)
    ids = st.dictionaries(st.from_regex(r"\A[a-z]{1,9}\Z"), text | st.integers(), max_size=3)

    @settings(max_examples=25, deadline=None)
    @given(text, ids, st.none() | text, st.floats(-1e12, 1e12))
    def held(name: str, ids: dict[str, str | int], trust: str | None, at: float) -> None:
        who = Who(f"subject:{name}", name, frozenset())
        with engine.begin() as connection:
            acts.append(connection, who, "tried", ids, trust, at)
        acts.check(engine)

    held()


def test_no_line_can_be_changed_unseen(engine: Engine) -> None:
    done(engine, 3)
    with engine.connect() as connection:
        before = dict(connection.execute(select(act).where(act.c.n == 2)).mappings().one())
    for column, other in OTHERS.items():
        with engine.begin() as connection:
            connection.execute(update(act).where(act.c.n == 2).values({column: other}))
        with pytest.raises(AuditBroken, match=r"line 2"):
            acts.check(engine)
        with engine.begin() as connection:
            changed = act.c.n == (other if column == "n" else 2)
            connection.execute(update(act).where(changed).values(before))
        assert acts.check(engine).lines == 3


def test_no_line_can_be_taken_out_unseen_and_the_last_one_not_past_a_kept_head(
    engine: Engine,
) -> None:
    done(engine, 3)
    head = str(acts.check(engine))
    with engine.begin() as connection:
        connection.execute(delete(act).where(act.c.n == 3))
    assert acts.check(engine).lines == 2
    with pytest.raises(AuditBroken, match="never had the head"):
        acts.check(engine, head)
    with engine.begin() as connection:
        connection.execute(delete(act).where(act.c.n == 1))
    with pytest.raises(AuditBroken, match="line 1"):
        acts.check(engine)


def test_those_who_act_at_once_stand_in_one_chain(engine: Engine) -> None:
    threads = [threading.Thread(target=done, args=(engine, 3)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert acts.check(engine).lines == 18


def test_what_did_not_happen_is_not_written(engine: Engine) -> None:
    with engine.connect() as connection:
        acts.append(connection, AMY, "flag acknowledged", {}, "RXX", 1.0)
        connection.rollback()
    assert acts.check(engine).lines == 0


def test_signs_that_no_database_keeps_are_refused(engine: Engine) -> None:
    for odd in ("a\0b", "\ud800", "a\nb", "\u202eb", "x" * 501):
        _refused(engine, odd)


def _refused(engine: Engine, odd: str) -> None:
    with engine.begin() as connection:
        for who, ids, trust in (
            (Who(odd, "", frozenset()), {}, None),
            (AMY, {"flag": odd}, None),
            (AMY, {}, odd),
        ):
            with pytest.raises(ValueError, match="line of text"):
                acts.append(connection, who, "tried", ids, trust, 1.0)
        with pytest.raises(ValueError, match="small letters"):
            acts.append(connection, AMY, odd, {}, None, 1.0)


def test_a_search_for_what_nobody_can_be_called_finds_nothing_on_either_database(
    engine: Engine,
) -> None:
    done(engine)
    for odd in ("a\0b", "\ud800", "\x1b", "x" * 501):
        assert acts.search(engine, ONE_PERSON, Wanted(who=odd)) == []
        assert acts.search(engine, ONE_PERSON, Wanted(what=odd)) == []


def test_an_administrator_finds_the_acts_of_their_trusts_and_no_other(engine: Engine) -> None:
    done(engine, 2, "RXX")
    done(engine, 1, "RYY")
    admin = Who("subject:x", "x", frozenset({Right(Role.ADMIN, Scope("trust", "RXX"))}))
    assert [one.n for one in acts.search(engine, admin, Wanted())] == [2, 1]
    assert [one.n for one in acts.search(engine, admin, Wanted(before=2))] == [1]
    assert acts.search(engine, AMY, Wanted()) == []
    assert len(acts.search(engine, ONE_PERSON, Wanted(who="subject:amy"))) == 3
    assert acts.search(engine, ONE_PERSON, Wanted(what="token made")) == []
    assert [one.n for one in acts.search(engine, ONE_PERSON, Wanted(since=2.0))] == [2]


def test_the_command_line_lists_acts_and_says_where_the_chain_breaks(tmp_path: Path) -> None:
    path = str(tmp_path / "outbox.db")
    engine = open_service_database(path)
    done(engine, 2)
    run = CliRunner().invoke
    listed = run(app, ["acts", "list", "--outbox", path])
    assert [line.split("  ")[0] for line in listed.output.splitlines()] == ["1", "2"]
    whole = run(app, ["acts", "check", "--outbox", path])
    assert (whole.exit_code, "2 lines hold" in whole.output) == (0, True)
    with engine.begin() as connection:
        connection.execute(update(act).where(act.c.n == 1).values(trust="RYY"))
        assert connection.scalar(select(act.c.n).limit(1))
    engine.dispose()
    broken = run(app, ["acts", "check", "--outbox", path])
    assert (broken.exit_code, "BROKEN: line 1" in broken.output) == (1, True)
    assert run(app, ["acts", "check", "--outbox", f"{path}-no"]).exit_code == 2
