// A receiver of flags, to start from: node receiver.mjs KEY_FILE FLAGS.jsonl [PORT]
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const [keyFile, file, port = "8600"] = process.argv.slice(2);
const key = Buffer.from(readFileSync(keyFile, "utf8").trim().slice("whsec_".length), "base64");
const seen = new Set(), held = new Map(); // ids of all events; of each flag the event that holds
const note = (event) => seen.add(event.id) && held.set(event.data.flag_id, event);
const before = existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
before.forEach((line) => note(JSON.parse(line)));

function isGenuine(headers, body) {
  const id = headers["webhook-id"], at = headers["webhook-timestamp"];
  if (!id || !(Math.abs(Date.now() / 1000 - Number(at)) < 300)) return false;
  const right = createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest();
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const given = Buffer.from(one.startsWith("v1,") ? one.slice(3) : "", "base64");
    return given.length === right.length && timingSafeEqual(given, right);
  });
}

function answerTo(event) {
  if (!event.type.startsWith("org.wsi_ai.triage_flag.")) return 200; // a heartbeat or a test: no flag
  const flag = event.data, old = held.get(flag.flag_id);
  const newer = !old || flag.revision > old.data.revision;
  if (seen.has(event.id)) return 200;
  if (old && !(newer && flag.supersedes === old.id)) {
    const back = flag.action === "retract", wasBack = old.data.action === "retract";
    const same = back === wasBack && (back || event.answerdigest === old.answerdigest);
    return same && !newer ? 200 : 409;
  }
  appendFileSync(file, JSON.stringify(event) + "\n", { flush: true }); // on the disk before it is answered
  note(event);
  return 200;
}

createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  if (!isGenuine(request.headers, body)) return response.writeHead(401).end();
  const event = JSON.parse(body), status = answerTo(event), now = held.get(event.data.flag_id);
  const is = now && { revision: now.data.revision, event_id: now.id, answer_digest: now.answerdigest,
    retracted: now.data.action === "retract" };
  response.writeHead(status).end(JSON.stringify({ held: is }));
}).listen(Number(port), "127.0.0.1");
