/**
 * The notes of a slide: a fold over the server's log, and what is not in it yet.
 *
 * What somebody writes is kept in this tab (it survives a reload) until the log has it.  A conflict
 * is never decided here: both versions wait for a person.
 */

const STATES = {waiting: "waiting", sent: "sent", conflict: "conflict", refused: "refused"};

export class Notes {
  /** ``changed`` is called after every change; ``send`` takes a message and says whether it went. */
  constructor({storage, key, send, changed}) {
    Object.assign(this, {storage, key, send, changed});
    this.seq = 0;
    this.log = new Map();
    this.pending = this.kept();
  }

  // -- what is shown --

  /** As each note stands for this person, oldest first: what they wrote counts at once. */
  get all() {
    const found = new Map();
    for (const [id, {first, last, held}] of this.log) {
      found.set(id, {id, first, last, held, revision: last.revision, body: last.body, state: "saved"});
    }
    for (const op of this.pending) {
      const known = found.get(op.note_id) ?? {id: op.note_id, first: null, last: null, revision: 0};
      found.set(op.note_id, {...known, body: op.body, state: op.state, op});
    }
    return [...found.values()];
  }

  get conflicts() { return this.pending.filter((op) => op.state === STATES.conflict); }

  get unsent() { return this.pending.length; }

  note(id) { return this.all.find((one) => one.id === id); }

  // -- what this person does --

  /** ``base``: the revision that it was made on, where that was looked at earlier. */
  write(noteId, body, base) {
    const before = this.pending.filter((op) => op.note_id === noteId).at(-1);
    const last = before ? before.base + 1 : this.log.get(noteId)?.last.revision ?? 0;
    const op = {op_id: crypto.randomUUID(), note_id: noteId, base: before ? last : base ?? last, body, state: STATES.waiting};
    this.pending.push(op);
    this.flush();
    return op;
  }

  /** Of a conflict: "mine", "theirs" or "both". */
  resolve(opId, choice) {
    const op = this.pending.find((one) => one.op_id === opId && one.state === STATES.conflict);
    if (!op) return;
    this.pending.splice(this.pending.indexOf(op), 1);
    const revision = Math.max(op.theirs.revision, this.log.get(op.note_id)?.last.revision ?? 0);
    if (choice === "mine") this.write(op.note_id, op.body, revision);
    else if (choice === "both") this.write(crypto.randomUUID(), op.body, 0);
    else this.saved();
  }

  /** What was refused is let go by a person only. */
  discard(opId) {
    this.pending = this.pending.filter((op) => op.op_id !== opId);
    this.saved();
  }

  // -- what the server says --

  /** Returns whether nothing is missing between what is known and this. */
  absorb(ops) {
    for (const op of ops) {
      this.pending = this.pending.filter((one) => one.op_id !== op.op_id);
      if (op.seq <= this.seq) continue;
      if (op.seq !== this.seq + 1) { this.saved(); return false; }
      this.seq = op.seq;
      const known = this.log.get(op.note_id);
      this.log.set(op.note_id, {first: known?.first ?? op, last: op, held: op.body ?? known?.held});
    }
    this.saved();
    return true;
  }

  /** Where the server's log is shorter than ours, it is another one: from a backup. */
  begin(newest) {
    if (newest < this.seq) { this.seq = 0; this.log.clear(); return false; }
    for (const op of this.pending) if (op.state === STATES.sent) op.state = STATES.waiting;
    return true;
  }

  conflicted({op_id: opId, theirs}) {
    const op = this.pending.find((one) => one.op_id === opId);
    if (!op) return;
    const later = this.pending.filter((one) => one.note_id === op.note_id && one !== op);
    Object.assign(op, {state: STATES.conflict, theirs, body: (later.at(-1) ?? op).body});
    this.pending = this.pending.filter((one) => !later.includes(one));
    this.saved();
  }

  refused(opId, why) {
    const op = this.pending.find((one) => one.op_id === opId);
    if (op) Object.assign(op, {state: STATES.refused, why});
    this.saved();
  }

  later(opId) {
    const op = this.pending.find((one) => one.op_id === opId);
    if (op?.state === STATES.sent) op.state = STATES.waiting;
  }

  /**
   * Of each note the first that waits, once the one before it is in the log: the second of two would
   * otherwise be written over what made the first a conflict.
   */
  flush() {
    const before = new Set();
    for (const op of this.pending) {
      const {op_id, note_id, base, body} = op;
      if (op.state === STATES.waiting && !before.has(note_id)) {
        if (!this.send({type: "op", op_id, note_id, base, body})) break;
        Object.assign(op, {state: STATES.sent, at: Date.now()});
      }
      before.add(note_id);
    }
    this.saved();
  }

  /** How long the oldest that was sent has had no answer. */
  get silentMs() {
    const sent = this.pending.filter((op) => op.state === STATES.sent);
    return sent.length ? Date.now() - Math.min(...sent.map((op) => op.at)) : 0;
  }

  // -- what a reload finds --

  saved() {
    this.unkept = false;
    try {
      if (this.pending.length) this.storage.setItem(this.key, JSON.stringify(this.pending));
      else this.storage.removeItem(this.key);
    } catch {
      this.unkept = true;  // the storage is full
    }
    this.changed();
  }

  kept() {
    try {
      const found = JSON.parse(this.storage.getItem(this.key) ?? "[]");
      return found.map((op) => (op.state === STATES.sent ? {...op, state: STATES.waiting} : op));
    } catch {
      return [];
    }
  }
}

/** Without a socket: reads what is new, then writes what waits, one after the other. */
export async function exchange(notes, address, {me, sha256}, Refused) {
  const read = async () => {
    for (;;) {
      const answer = await fetch(`${address}?since=${notes.seq}`);
      if ([401, 403, 404].includes(answer.status)) throw new Refused();
      if (!answer.ok) throw new Error(`${answer.status}`);
      const found = await answer.json();
      if (found.me !== me || found.sha256 !== sha256) throw new Refused();
      if (!notes.begin(found.seq)) continue;
      notes.absorb(found.ops);
      if (notes.seq >= found.seq) return found;
    }
  };
  const found = await read();
  const waiting = notes.pending.filter((op) => op.state === STATES.waiting);
  const stopped = new Set(notes.pending.filter((op) => !waiting.includes(op)).map((op) => op.note_id));
  for (const {op_id, note_id, base, body} of waiting) {
    if (stopped.has(note_id)) continue;
    const headers = {"content-type": "application/json"};
    const answer = await fetch(address, {method: "POST", headers, body: JSON.stringify({op_id, note_id, base, body})});
    if (answer.status === 409) { notes.conflicted(await answer.json()); stopped.add(note_id); }
    else if ([403, 413, 422].includes(answer.status)) { notes.refused(op_id, await answer.text()); stopped.add(note_id); }
    else if (!answer.ok) throw new Error(`${answer.status}`);
  }
  return waiting.length ? read() : found;
}
