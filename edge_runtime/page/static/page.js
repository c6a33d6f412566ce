"use strict";
// Renews the live part every two seconds, and leaves alone whoever is at work in it.
(() => {
  const live = document.getElementById("live");
  const updated = document.getElementById("updated");
  if (!live || !updated) return;

  const selecting = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && live.contains(selection.anchorNode);
  };

  // The same element after the renewal: a button by what it does, anything else by where it is.
  const place = (element) => {
    if (!element || !live.contains(element)) return null;
    if (element.value) {
      const value = CSS.escape(element.value);
      return `button[formaction="${element.getAttribute("formaction")}"][value="${value}"]`;
    }
    const home = element.closest("section");
    return home ? `#${home.id} .${element.classList[0]}` : null;
  };

  const renew = async () => {
    if (document.hidden || selecting()) return;
    try {
      const answer = await fetch("/live", { cache: "no-store" });
      if (answer.status === 403) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      const focused = place(document.activeElement);
      const scrolled = new Map([...live.querySelectorAll(".scroll, .log")].map(
        (box) => [`#${box.closest("section").id} .${box.classList[0]}`, [box.scrollLeft, box.scrollTop]]));
      live.innerHTML = text;
      for (const [where, [left, top]] of scrolled) {
        const box = live.querySelector(where);
        if (box) { box.scrollLeft = left; box.scrollTop = top; }
      }
      if (focused) live.querySelector(focused)?.focus({ preventScroll: true });
      updated.textContent = "";
    } catch {
      updated.textContent = document.body.dataset.lost;
    }
  };
  setInterval(renew, 2000);
})();
