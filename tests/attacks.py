"""What attackers, typos and bad disks can do to a flag, as a table: ``python -m tests.attacks``.

Each row tries its instances anew and counts how many were answered as they should be; the tests
named in docs/security.md hold the same by property.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from tests.core.test_printable import UNSEEN
from tests.delivery.parts import KEY
from tests.delivery.test_audit import anew
from tests.delivery.test_edges import FORBIDDEN_V4, URLS
from tests.delivery.test_receiver_fuzz import BEAT, FLAG, TOKEN, WAYS, genuine, spoil
from tests.examples import PROVENANCE, example_flag
from tests.heatmaps.test_journal import forged, predictions, read, write
from tests.schemas.test_every_number import CASES, KINDS, as_toml
from tests.schemas.test_reading import DEEP
from tests.slides.test_tables import ENDS
from wsi_ai.core.printable import printable
from wsi_ai.delivery.audit import Audit, AuditBroken, verify
from wsi_ai.delivery.receiver.inbox import open_inbox
from wsi_ai.delivery.receiver.web import Access, receiver
from wsi_ai.delivery.routes import load_endpoints
from wsi_ai.delivery.sinks.addresses import is_forbidden
from wsi_ai.errors import WsiAiError
from wsi_ai.results.assessment import Assessment
from wsi_ai.results.slide import RunRecord, finished, write_results
from wsi_ai.run.no_ops import NoPost
from wsi_ai.schemas.reading import Unreadable, from_json, from_toml
from wsi_ai.slides.identity import load_cases

QUESTION = "ab" * 32
Row = tuple[str, Iterable[bool]]


def refused(call: Callable[..., Any], *words: Any) -> bool:
    try:
        call(*words)
    except (WsiAiError, Unreadable):
        return True
    return False


def settings(folder: Path) -> Iterator[bool]:
    for kind, n, way in CASES:
        for literal in ("nan", "inf", "-inf", "1e308", "-1e308"):
            path = folder / "settings.toml"
            path.write_text(as_toml(KINDS[kind].tables[n], way, literal))
            yield refused(KINDS[kind].load, path)


def cases(folder: Path) -> Iterator[bool]:
    for sign in ENDS:
        for suffix, text in (
            (".csv", f"file,trust,accession,slide_id\na.svs,R,S26-100{sign}17,1\n"),
            (".json", json.dumps([{"file": "a.svs", "accession": f"S26-100{sign}17"}])),
        ):
            path = folder / f"cases{suffix}"
            path.write_bytes(text.encode())
            yield refused(load_cases, path)


def twins(folder: Path) -> Iterator[bool]:
    for name, text in (
        ("c.csv", "file,trust,trust\na.svs,R,S\n"),
        ("c.csv", "file,trust,Trust\na.svs,R,S\n"),
        ("c.csv", "file,trust\na.svs,R\n./a.svs,S\n"),
        ("c.csv", "file,trust\né.svs,R\ne\u0301.svs,S\n"),
        ("c.json", '[{"file": "a.svs", "trust": "R", "trust": "S"}]'),
        ("c.toml", "[every_slide]\ntrust = 'R'\ntrust = 'S'\n"),
    ):
        (folder / name).write_bytes(text.encode())
        yield refused(load_cases, folder / name)


def nesting() -> Iterator[bool]:
    for text in DEEP.values():
        start = time.process_time()
        yield refused(from_toml, text) and time.process_time() - start < 2
    for deep in ("[" * 200_000, '{"a":' * 90_000):
        yield refused(from_json, deep)


def patterns(folder: Path) -> Iterator[bool]:
    for pattern in ("(a+)+$", "(?P<block>(a|aa)+)!", "(.*a){25}x", "(a|a)*b"):
        path = folder / "cases.toml"
        path.write_text(f"file_name = '{pattern}'")
        start = time.process_time()
        gone = refused(load_cases(path).claims, Path("a" * 200 + "c.svs"))
        yield gone and time.process_time() - start < 3


def addresses() -> Iterator[bool]:
    for v4 in FORBIDDEN_V4:
        for form in ("::ffff:{}", "::ffff:0:{}", "64:ff9b::{}", "2001:db8::5efe:{}"):
            yield is_forbidden(form.format(v4))


def bidi() -> Iterator[bool]:
    for sign in ENDS:
        shown = printable(f"a{sign}b")
        yield shown.isprintable() and bool(UNSEEN)


@contextlib.contextmanager
def receiving() -> Iterator[TestClient]:
    inbox = open_inbox(":memory:")
    with TestClient(receiver(inbox, Access((KEY,), TOKEN), time.time)) as client:
        yield client
    inbox.close()


def events() -> Iterator[bool]:
    random = Random(14)
    hard = ["Infinity", "NaN", "1e999", "9223372036854775808", "1" * 5000, "null", "-1", "{}"]
    hard += ["[" * 5000 + "]" * 5000, '"\\ud800"']
    token = {"authorization": f"Bearer {TOKEN}"}
    with receiving() as client:
        for _ in range(400):
            kind = random.choice([FLAG, BEAT])
            body = spoil(kind, random.choice(WAYS[kind]), random.choice(hard), more=False)
            headers = genuine(json.loads(kind)["id"], body)
            status = client.post("/flags", content=body, headers=headers).status_code
            shown = client.get("/worklist", headers=token).status_code
            yield (status == 200 or 400 <= status < 500) and shown == 200


def headers() -> Iterator[bool]:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature", "authorization")
    with receiving() as client:
        for name in names:
            for value in (b"", b"9" * 5000, b"\xb2", b"-1", b"\xff\xfe", b"v1,", b"Bearer "):
                good = [(k.encode(), v.encode()) for k, v in genuine("evt_1", b"{}").items()]
                bad = [(k, value if k == name.encode() else v) for k, v in good]
                yield client.post("/flags", content=b"{}", headers=bad).status_code == 401


def keys() -> Iterator[bool]:
    for key in ("", "whsec_", "whpk_", "secret", "whsec_AA==", "whsec_%%"):
        yield refused(Access, (key,))
    for token in ("", " ", "\n", "ä"):
        yield refused(Access, (KEY,), token)


def audits(folder: Path) -> Iterator[bool]:
    audit = Audit(folder / "audit.jsonl", lambda: "now")
    for n in range(5):
        audit.append([{"what": "decision", "n_": n}])
    lines, head = audit.path.read_bytes().splitlines(keepends=True), str(audit.head())
    for n in range(5):
        for spoiled in (anew(lines, n), anew(lines[:n] + lines[n + 1 :]), b"".join(lines[:n])):
            (folder / "copy").write_bytes(spoiled)
            with contextlib.suppress(AuditBroken):
                verify(folder / "copy", head)
                yield False
                continue
            yield True


def results(folder: Path) -> Iterator[bool]:
    random, whole = Random(14), folder / "whole"
    run = RunRecord(PROVENANCE, QUESTION, {}, None, failed=False)
    write_results(whole, Assessment(example_flag()), run, NoPost())
    for name in ("flag.json", "run.json"):
        for _ in range(10):
            place = folder / "out" / f"m{random.random()}"
            shutil.copytree(whole, place)
            content = bytearray((place / name).read_bytes())
            content[random.randrange(len(content))] ^= 1 << random.randrange(7)
            (place / name).write_bytes(content)
            found = finished(place, QUESTION)
            yield found is None or found == json.loads((whole / "flag.json").read_text())


def journals(folder: Path) -> Iterator[bool]:
    for n in range(10):
        path = folder / f"j{n}"
        write(path, predictions(1))
        path.write_bytes(forged(path))
        yield read(path) == (0, [])
    victim, link = folder / "victim", folder / "link"
    victim.write_text("precious")
    link.symlink_to(victim)
    write(link, predictions(1))
    yield victim.read_text() == "precious"


def urls() -> Iterator[bool]:
    return (refused(load_endpoints, [url]) for url in URLS)


def rows(folder: Path) -> Iterator[Row]:
    yield "14.2  a number that is none in a setting", settings(folder)
    yield "14.2  nesting without end", nesting()
    yield "14.3  a control character in an accession", cases(folder)
    yield "14.3  twin columns, keys and files", twins(folder)
    yield "14.10 results changed by one bit", results(folder)
    yield "14.10 forged journal scores, a link as journal", journals(folder)
    yield "14.14 anything in any place of a signed event", events()
    yield "14.14 malformed headers: 401", headers()
    yield "14.14 empty and short keys and tokens", keys()
    yield "14.15 last line, whole chain, cut off: by a kept head", audits(folder)
    yield "14.16 controls and bidi in a name, printed", bidi()
    yield "14.16 patterns that take years", patterns(folder)
    yield "14.16 URLs that cannot be", urls()
    yield "14.16 metadata addresses inside IPv6", addresses()


def main() -> int:
    print(f"{'attack':<55} {'instances':>9} {'held':>6}")
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_DATA_HOME"] = name
        for told, tried in rows(Path(name)):
            found = np.array(list(tried), bool)
            failed += int((~found).sum())
            print(f"{told:<55} {len(found):>9} {int(found.sum()):>6}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
