"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // A title is a tooltip that takes a second, and none at all on a telephone.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const tell = (event) => {
    const mark = event.target.closest(".mark, .network rect");
    tip.hidden = !mark;
    if (!mark) return;
    // Of series that meet here, all are told.
    const here = document.elementsFromPoint(event.clientX, event.clientY)
      .map((each) => each.closest(".mark, .network rect")).filter((each) => each);
    tip.textContent = [...new Set([mark, ...here])].map((each) => each.dataset.tip).join("\n\n");
    const box = mark.getBoundingClientRect();
    const left = Math.min(box.left + 12, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left) + scrollX}px`;
    tip.style.top = `${box.bottom + 8 + scrollY}px`;
  };
  all(".area .mark, .network rect").forEach((mark) => {
    const title = mark.querySelector("title");
    mark.dataset.tip = title.textContent;
    title.remove();
  });
  document.addEventListener("pointerover", tell);
  document.addEventListener("pointerdown", tell);

  // A point or a row opens the placement that it stands for: to work on it, or as its file.
  document.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-attachment]");
    if (!asked) return;
    const named = { detail: asked.dataset.attachment, cancelable: true };
    const isOpened = all(".designer", asked.closest("article"))
      .some((each) => !each.dispatchEvent(new CustomEvent("open-trial", named)));
    if (isOpened) return;
    const found = all("details", asked.closest("article"))
      .find((each) => each.dataset.name === asked.dataset.attachment);
    if (!found) return;
    found.open = true;
    found.scrollIntoView({ block: "center" });
  });

  all(".legend button").forEach((button) => button.addEventListener("click", () => {
    const isShown = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!isShown));
    const plot = document.getElementById(button.parentElement.dataset.plot);
    all(`[data-series="${button.dataset.series}"]`, plot)
      .forEach((each) => { each.style.display = isShown ? "none" : ""; });
  }));
  document.documentElement.dataset.ready = "true";
})();
