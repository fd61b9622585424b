"""A receiver of flags, to start from: python receiver.py KEY_FILE FLAGS.jsonl [PORT]"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

key, file = Path(sys.argv[1]).read_text().strip(), Path(sys.argv[2])
seen: set[str] = set()  # ids of all events that came
held: dict[str, dict] = {}  # of each flag the event that holds
for line in file.read_text().splitlines() if file.exists() else ():
    event = json.loads(line)
    seen.add(event["id"])
    held[event["data"]["flag_id"]] = event


def answer_to(event: dict) -> int:
    if not event["type"].startswith("org.wsi_ai.triage_flag."):
        return 200  # a heartbeat or a test: never show it as a flag
    flag, old = event["data"], held.get(event["data"]["flag_id"])
    newer = old is None or flag["revision"] > old["data"]["revision"]
    if event["id"] in seen:
        return 200
    if old is not None and not (newer and flag["supersedes"] == old["id"]):
        back, was_back = (one["action"] == "retract" for one in (flag, old["data"]))
        same = back == was_back and (back or event["answerdigest"] == old["answerdigest"])
        return 200 if same and not newer else 409
    with file.open("a") as kept:  # on the disk before it is answered
        kept.write(json.dumps(event) + "\n")
        kept.flush()
        os.fsync(kept.fileno())
    seen.add(event["id"])
    held[flag["flag_id"]] = event
    return 200


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = Webhook(key).verify(body, dict(self.headers))
        except WebhookVerificationError:
            return self.reply(401, {})
        status, now = answer_to(event), held.get(event["data"].get("flag_id", ""))
        return self.reply(status, {"held": now and now_held(now)})

    def reply(self, status: int, content: dict) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def now_held(event: dict) -> dict:
    flag = event["data"]
    return {
        "revision": flag["revision"],
        "event_id": event["id"],
        "answer_digest": event["answerdigest"],
        "retracted": flag["action"] == "retract",
    }


HTTPServer(("127.0.0.1", int([*sys.argv, "8600"][3])), Receiver).serve_forever()
