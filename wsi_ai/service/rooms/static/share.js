/** Invitations to this one slide, until a time. */

import {when} from "./panel.js";

const $ = (id) => document.getElementById(id);
const TRUST = /^[A-Za-z0-9._-]+$/;

/** A trust's code needs no prefix. */
export function toOf(text) {
  const typed = text.trim();
  return TRUST.test(typed) ? `trust:${typed}` : typed;
}

export class Share {
  constructor(address) {
    this.address = address;
    $("invite").addEventListener("click", () => this.open());
    $("share-close").addEventListener("click", () => $("share").close());
    $("share-form").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
  }

  async open() {
    $("share-state").textContent = "";
    $("share").showModal();
    await this.list().catch(() => { $("share-state").textContent = "Who is invited cannot be read now."; });
  }

  async send() {
    const content = {to: toOf($("share-to").value), hours: Number($("share-until").value)};
    const headers = {"content-type": "application/json"};
    try {
      const answer = await fetch(this.address, {method: "POST", headers, body: JSON.stringify(content)});
      if (!answer.ok) throw new Error(await answer.text());
      const {to, until} = await answer.json();
      $("share-state").textContent = `${to.replace("trust:", "Everybody of ")} is invited until ${when(until)}. Give them this page’s address.`;
      $("share-to").value = "";
      await this.list();
    } catch (error) {
      $("share-state").textContent = `Not invited: ${error.message}.`;
    }
  }

  async list() {
    const answer = await fetch(this.address);
    if (!answer.ok) throw new Error(`${answer.status}`);
    const {shares} = await answer.json();
    $("shares-panel").hidden = !shares.length;
    $("shares").replaceChildren(...shares.map((one) => this.row(one)));
  }

  row({id, to, until}) {
    const item = document.createElement("li"), text = document.createElement("span");
    const end = Object.assign(document.createElement("button"), {type: "button", textContent: "End"});
    text.textContent = `${to.replace("trust:", "Trust ")}, until ${when(until)}`;
    end.setAttribute("aria-label", `End: ${text.textContent}`);
    end.addEventListener("click", async () => {
      await fetch(`${this.address}/${encodeURIComponent(id)}`, {method: "DELETE"}).catch(() => null);
      await this.list().catch(() => null);
    });
    item.append(text, end);
    return item;
  }
}
