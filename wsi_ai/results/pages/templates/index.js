"use strict";
(() => {
  const body = document.querySelector("#list tbody");
  const rows = [...body.rows];
  const words = document.getElementById("words");
  const levels = [...document.querySelectorAll("#filter input[type=checkbox]")];
  const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/);
    const on = new Set(levels.filter((one) => one.checked).map((one) => one.value));
    let shown = 0;
    for (const row of rows) {
      const fits = on.has(row.dataset.level) && wanted.every((w) => text.get(row).includes(w));
      row.hidden = !fits;
      shown += fits;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} shown`;
  };
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const sort = (head, column, down) => {
    const key = (row) => row.cells[column].dataset.sort;
    const byText = head.dataset.by === "text";
    rows.sort((a, b) => (byText ? compare(key(a), key(b)) : key(a) - key(b)) * (down ? -1 : 1));
    body.append(...rows);
  };
  document.querySelectorAll("#list th[data-by]").forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      document.querySelectorAll("#list th").forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(head, head.cellIndex, down);
    });
  });
  words.addEventListener("input", filter);
  levels.forEach((one) => one.addEventListener("change", filter));
  const form = document.getElementById("filter");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
