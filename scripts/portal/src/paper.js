// What a chart leaves on paper: a picture of its own, in the colours of paper, as wide as a sheet.
//
// Printing begins at once and waits for nothing but microtasks: what is drawn must be there by then.

export const PAPER_WIDTH = 1000;

// `find` gives the chart that is on the page now, or nothing. `draw` is given an empty place beside it, and
// returns a canvas in the colours of paper, whose drawing may end in a microtask; or nothing. `ratio` is of its
// pixels to those of the page.
export function onPaper(find, draw, ratio) {
  let place = null;
  let chart = null;
  addEventListener("beforeprint", () => {
    place?.remove();
    chart = find();
    if (!chart || chart.hidden) return;
    place = document.createElement("div");
    chart.after(place);
    const canvas = draw(place);
    if (!canvas) return place.remove();
    queueMicrotask(() => {
      canvas.className = "paper";
      canvas.removeAttribute("style");
      canvas.style.width = `${canvas.width / ratio}px`;
      place.replaceChildren(canvas);
      chart.classList.add("has-paper");
    });
  });
  addEventListener("afterprint", () => {
    place?.remove();
    place = null;
    chart?.classList.remove("has-paper");
  });
}

// The colour of a name on screen, or on paper.
const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
export function colour(name, isPaper = false) {
  probe.style.colorScheme = isPaper ? "light" : "";
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}
