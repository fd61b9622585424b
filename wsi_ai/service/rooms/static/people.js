/** Who is at the slide: their cursors, following one of them, pointing with a trail. */

export const COLOURS = ["#4cc9f0", "#ffb703", "#52e3a4", "#ff8573", "#c9b2ff", "#d4e157", "#ff9ad5", "#e8ecef"];
export const NOBODY = "#d9e2ea";
const EVERY_MS = 50, TRAIL_MS = 1200;
const INK = "#10151b";

export class People {
  /** ``send`` takes a message; ``changed`` is called when somebody came, left or follows. */
  constructor({view, send, changed}) {
    Object.assign(this, {view, send, changed, you: "", all: new Map(), leader: null, colours: new Map(), colour: NOBODY});
    Object.assign(this, {mine: {at: null, view: null, laser: false}, trail: [], last: 0, timer: 0, applying: false});
  }

  get others() { return [...this.all.values()].filter((one) => one.id !== this.you); }

  colourOf(person) { return person ? COLOURS[person.colour] : NOBODY; }

  /** Of a note's author who is or was here while this page was open. */
  colourBy(subject) { return this.colours.get(subject) ?? NOBODY; }

  knows(person) { this.colours.set(person.by, this.colourOf(person)); }

  // -- what the server says --

  joined({you, people}) {
    const whom = this.all.get(this.leader)?.by;
    this.you = you;
    this.all = new Map(people.map((one) => [one.id, {...one, trail: []}]));
    this.leader = null;
    for (const person of people) this.knows(person);
    this.colour = this.colourOf(this.all.get(you));
    const again = whom && this.others.find((one) => one.by === whom);
    if (again) this.follow(again.id);
    this.say();
    this.changed();
  }

  came({person}) { this.all.set(person.id, {...person, trail: []}); this.knows(person); this.changed(); }

  left({id}) {
    this.all.delete(id);
    if (id === this.leader) this.leader = null;
    this.changed();
  }

  gone() { this.all.clear(); this.leader = null; this.changed(); }

  followed({id, whom}) {
    const person = this.all.get(id);
    if (person) person.follows = whom;
    this.changed();
  }

  here({id, at, view, laser}) {
    const person = this.all.get(id);
    if (!person) return;
    if (laser && at) person.trail.push({at, when: performance.now()});
    Object.assign(person, {at, view, laser});
    if (id === this.leader) this.look(person);
    this.view.redraw();
  }

  // -- what this person does --

  attach(osd) {
    const moved = () => {
      if (this.leader && !this.applying) this.follow(null);
      this.say();
    };
    for (const name of ["pan", "zoom", "rotate"]) osd.addHandler(name, moved);
    osd.addHandler("update-viewport", () => this.say());
    osd.element.addEventListener("pointermove", (event) => {
      const box = osd.element.getBoundingClientRect();
      const {x, y} = this.view.pointAt({x: event.clientX - box.left, y: event.clientY - box.top});
      this.point([x, y]);
    });
    osd.element.addEventListener("pointerleave", () => this.point(null));
  }

  point(at) {
    this.mine.at = at && at.map((value) => Math.round(value * 10) / 10);
    if (this.mine.laser && at) this.trail.push({at: this.mine.at, when: performance.now()});
    if (this.mine.laser) this.view.redraw();
    this.say();
  }

  laser(on) {
    if (on === this.mine.laser) return;
    this.mine.laser = on;
    if (on && !this.mine.at) {
      const {view} = this.view.place();
      this.point([(view.left + view.right) / 2, (view.top + view.bottom) / 2]);
    }
    this.say();
  }

  /** Where this person is, 20 times a second at most; the last place always goes. */
  say() {
    if (this.timer || !this.view.osd?.world.getItemCount()) return;
    const wait = Math.max(0, this.last + EVERY_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.last = performance.now();
      const {view: {left, top, right, bottom}} = this.view.place();
      this.mine.view = [left, top, right - left, bottom - top].map(Math.round);
      if (!(this.mine.view[2] > 0 && this.mine.view[3] > 0)) return;
      const text = JSON.stringify(this.mine);
      if (text === this.told && this.toldTo === this.you) return;
      if (this.you && this.send({type: "here", ...this.mine})) Object.assign(this, {told: text, toldTo: this.you});
    }, wait);
  }

  /** ``null`` ends it.  Who follows this person cannot be followed: neither would lead. */
  follow(id) {
    if (id === this.leader) return;
    const leader = id ? this.all.get(id) : null;
    if (leader?.follows === this.you) return;
    this.leader = leader ? id : null;
    this.send({type: "follow", whom: this.leader});
    if (leader) this.look(leader);
    this.changed();
  }

  /** The server says that they follow this person, or are gone. */
  notFollowing() { this.leader = null; this.changed(); }

  next() {
    const {others} = this;
    if (this.leader) this.follow(null);
    else if (others.length) this.follow(others[0].id);
  }

  look({view}) {
    if (!view || !this.view.shown) return;
    const {width} = this.view.shown.info;
    this.applying = true;
    this.view.osd.viewport.fitBounds(new OpenSeadragon.Rect(...view.map((value) => value / width)));
    this.applying = false;
  }

  // -- what is seen --

  paint(pen, px) {
    const now = performance.now();
    let moving = false;
    for (const person of this.others) {
      moving = this.paintTrail(pen, px, person.trail, this.colourOf(person), now) || moving;
      if (person.at) this.paintCursor(pen, px, person);
    }
    moving = this.paintTrail(pen, px, this.trail, this.colour, now) || moving;
    if (moving) this.view.redraw();
  }

  paintTrail(pen, px, trail, colour, now) {
    while (trail.length && now - trail[0].when > TRAIL_MS) trail.shift();
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineCap = "round";
    for (let n = 1; n < trail.length; n += 1) {
      const left = 1 - (now - trail[n].when) / TRAIL_MS;
      pen.globalAlpha = Math.max(0, left);
      pen.lineWidth = (2 + 6 * left) * px;
      pen.beginPath();
      pen.moveTo(...trail[n - 1].at);
      pen.lineTo(...trail[n].at);
      pen.stroke();
    }
    pen.globalAlpha = 1;
    return trail.length > 0;
  }

  paintCursor(pen, px, person) {
    const [x, y] = person.at, colour = this.colourOf(person);
    pen.save();
    pen.translate(x, y);
    pen.scale(px, px);
    if (person.laser) this.paintDot(pen, colour);
    else this.paintArrow(pen, colour);
    pen.font = '600 13px system-ui, "DejaVu Sans", sans-serif';
    const width = pen.measureText(person.name).width + 16;
    pen.fillStyle = colour;
    pen.beginPath();
    pen.roundRect(14, 16, width, 24, 12);
    pen.fill();
    pen.fillStyle = INK;
    pen.fillText(person.name, 22, 32.5);
    pen.restore();
  }

  paintArrow(pen, colour) {
    pen.beginPath();
    pen.moveTo(0, 0);
    for (const [x, y] of [[0, 19], [5, 14.5], [12.5, 14]]) pen.lineTo(x, y);
    pen.closePath();
    pen.lineJoin = "round";
    pen.lineWidth = 3;
    pen.strokeStyle = INK;
    pen.stroke();
    pen.fillStyle = colour;
    pen.fill();
  }

  paintDot(pen, colour) {
    pen.beginPath();
    pen.arc(0, 0, 7, 0, 2 * Math.PI);
    pen.fillStyle = colour;
    pen.fill();
    pen.lineWidth = 2.5;
    pen.strokeStyle = "#ffffff";
    pen.stroke();
  }
}
