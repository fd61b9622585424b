"use strict";
(() => {
  const control = document.getElementById("control");
  const slider = document.getElementById("opacity");
  const slide = document.getElementById("slide");
  if (control && slider && slide) {
    control.hidden = false;
    slider.addEventListener("input", () => {
      slide.style.setProperty("--heat", slider.value / 100);
      slide.style.setProperty("--lines", Math.min(1, slider.value / 30));
    });
  }
  const box = document.getElementById("enlarged");
  const cards = [...document.querySelectorAll(".card .look")];
  if (!box || !box.showModal) return;
  let at = 0;
  const show = (n) => {
    at = (n + cards.length) % cards.length;
    const figure = cards[at].closest(".card").cloneNode(true);
    figure.removeAttribute("id");
    figure.querySelectorAll("button").forEach((one) => one.remove());
    document.getElementById("enlarged-card").replaceChildren(figure);
    if (!box.open) box.showModal();
  };
  cards.forEach((look, n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-label", `Enlarge place ${n + 1}`);
    button.addEventListener("click", () => show(n));
    look.append(button);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") show(at + 1);
    if (event.key === "ArrowLeft") show(at - 1);
  });
})();
