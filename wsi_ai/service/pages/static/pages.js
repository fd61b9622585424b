/** Pages of figures: made anew every 15 s, unless somebody is in a form of theirs. */
const EVERY_MS = 15_000;
const [renewed, live, stale] = ["renewed", "live", "stale"].map((id) => document.getElementById(id));
let heardAt = new Date();

function timeOf(moment) {
  const clock = {hour: "2-digit", minute: "2-digit", hourCycle: "h23"}, now = new Date();
  const day = moment.toDateString() === now.toDateString() ? {} : {day: "2-digit", month: "short"};
  const year = moment.getFullYear() === now.getFullYear() ? {} : {year: "numeric"};
  return moment.toLocaleString([], {...clock, ...day, ...year});
}

function inOwnTime(part) {
  for (const time of part.querySelectorAll("time[data-clock]")) {
    const moment = new Date(time.dateTime);
    if (!isNaN(moment)) time.textContent = timeOf(moment);
  }
}

async function renew() {
  if (!renewed || renewed.contains(document.activeElement) || renewed.matches(":hover")) return;
  try {
    const answer = await fetch(location.href);
    if (!answer.ok || answer.redirected) throw new Error("no answer");
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    renewed.replaceChildren(...found.getElementById("renewed").childNodes);
    inOwnTime(renewed);
    heardAt = new Date();
    live.textContent = `Made at ${timeOf(heardAt)}, made anew every 15 s`;
    stale.hidden = true;
  } catch {
    stale.hidden = false;
    stale.textContent = `This page is as it was at ${timeOf(heardAt)}: the service does not answer.`;
  }
}

inOwnTime(document);
if (renewed) setInterval(renew, EVERY_MS);
