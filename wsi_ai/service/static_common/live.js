/**
 * One WebSocket a page, which comes back by itself.  Where it is blocked (some proxies do that) the
 * page is asked to look now and then instead.
 *
 *   const live = new Live("/v1/live", {
 *     greet: () => [{type: "watch", …}],  // goes out whenever it opens, and where rights changed
 *     poll: async () => { … },            // every 5 s while it is blocked; throws where it fails
 *     state: (state) => { … },            // "open", "polling", "away" or "refused"
 *   });
 *   live.on("line", (message) => { … });
 *   live.start();
 */

const FIRST_WAIT_MS = 400, LONGEST_WAIT_MS = 15_000;
const BLOCKED_AFTER = 2;  // failures in a row
const POLL_MS = 5_000, OPENING_MS = 10_000;
const UNKNOWN = 4401;  // close code: whose page it is does not hold any more

/** Thrown by ``poll`` where asking again is of no use: signed out, or without the right. */
export class Refused extends Error {}

/** Before the next try: the page does not come back in the same moment as all others. */
export function waitMs(failures, random = Math.random) {
  const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures, 10));
  return most * (0.5 + random() / 2);
}

export class Live {
  constructor(address, {greet = () => [], poll = null, state = () => {}} = {}) {
    const url = new URL(address, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    Object.assign(this, {url, greet, poll, tell: state, handlers: new Map()});
    Object.assign(this, {state: "", failures: 0, socket: null, again: 0, polls: 0, running: false});
    addEventListener("online", () => this.running && this.renew());
    addEventListener("offline", () => this.running && this.lost());
    addEventListener("pagehide", () => this.stop());
    addEventListener("pageshow", (event) => event.persisted && this.start());
  }

  on(type, handler) {
    this.handlers.set(type, [...(this.handlers.get(type) ?? []), handler]);
    return this;
  }

  start() {
    if (this.running) return;
    this.running = true;
    this.open();
  }

  stop() {
    this.running = false;
    clearTimeout(this.again);
    clearTimeout(this.polls);
    this.drop();
  }

  /** False where nothing can be sent now: it is the caller's to keep. */
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Opens anew at once: of a connection that is open and no longer answers, too. */
  renew() {
    this.drop();
    clearTimeout(this.again);
    this.open();
  }

  // -- what follows is its own --

  open() {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    const late = setTimeout(() => this.lost(), OPENING_MS);
    socket.addEventListener("open", () => {
      clearTimeout(late);
      clearTimeout(this.polls);
      this.polls = 0;
      this.failures = 0;
      this.became("open");
      this.greeted();
    });
    socket.addEventListener("message", ({data}) => this.heard(JSON.parse(data)));
    socket.addEventListener("close", ({code}) => {
      clearTimeout(late);
      if (socket !== this.socket) return;
      if (code === UNKNOWN) this.refused();
      else this.lost();
    });
  }

  greeted() {
    for (const message of this.greet()) this.send(message);
  }

  heard(message) {
    if (message.type === "resync") this.greeted();
    for (const handler of this.handlers.get(message.type) ?? []) handler(message);
  }

  lost() {
    this.drop();
    this.failures += 1;
    clearTimeout(this.again);
    this.again = setTimeout(() => this.open(), waitMs(this.failures - 1));
    if (this.state !== "polling") this.became("away");
    if (this.poll && this.failures >= BLOCKED_AFTER && !this.polls) this.look();
  }

  async look() {
    this.polls = setTimeout(() => this.look(), POLL_MS);
    const own = this.polls;
    let found = "polling";
    try {
      await this.poll();
    } catch (error) {
      if (error instanceof Refused) found = "refused";
      else found = "away";
    }
    if (own !== this.polls || !this.running) return;
    if (found === "refused") this.refused();
    else this.became(found);
  }

  refused() {
    this.stop();
    this.became("refused");
  }

  drop() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  became(state) {
    if (state === this.state) return;
    this.state = state;
    this.tell(state);
  }
}
