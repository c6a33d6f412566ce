// The SQL editor in the place of its text area, and the lines of a result.
import { sql, StandardSQL } from "@codemirror/lang-sql";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Prec } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { basicSetup } from "codemirror";
import uPlot from "uplot";
import { PAPER_WIDTH, colour, onPaper } from "./paper.js";

const area = document.querySelector("#sql");
const form = document.querySelector("#query");
const nonce = document.querySelector("meta[name=style-nonce]").content;

const look = EditorView.theme({
  "&": { border: "1px solid var(--line-strong)", borderRadius: "var(--radius)", background: "var(--surface)", color: "var(--text)", fontSize: "0.875rem" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "1px" },
  ".cm-content": { fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace", caretColor: "var(--text)", minHeight: "9rem" },
  ".cm-gutters": { background: "var(--surface-2)", color: "var(--text-soft)", border: "0" },
  ".cm-activeLine, .cm-activeLineGutter": { background: "color-mix(in srgb, var(--accent) 8%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { background: "color-mix(in srgb, var(--accent) 25%, transparent) !important" },
  ".cm-tooltip": { background: "var(--surface)", border: "1px solid var(--line)", color: "var(--text)" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { background: "var(--accent)", color: "var(--on-p)" },
});
const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--series-3)" },
  { tag: tags.number, color: "var(--series-2)" },
  { tag: tags.comment, color: "var(--text-soft)", fontStyle: "italic" },
]);

const run = () => (form.requestSubmit(document.querySelector("#run")), true);
const editor = new EditorView({
  doc: area.value,
  extensions: [
    EditorView.cspNonce.of(nonce),
    Prec.highest(keymap.of([{ key: "Mod-Enter", run }])),
    basicSetup,
    sql({ dialect: StandardSQL, schema: JSON.parse(area.dataset.schema), upperCaseKeywords: true }),
    syntaxHighlighting(colours),
    look,
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": area.getAttribute("aria-label") }),
    EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      area.value = update.state.doc.toString();
      document.querySelector("[data-with-sql] [name=sql]").value = area.value;
    }),
  ],
});
area.after(editor.dom);
area.hidden = true;
area.required = false; // what is hidden cannot be complained about; the server does

// the address has the query that was run last, so that it can be shared
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.requestConfig?.path === "/sql") {
    const address = new URL("/sql", location.href);
    address.searchParams.set("sql", area.value);
    if (address.href.length < 8000) history.replaceState(null, "", address);
  }
  drawable();
});

// a result can be drawn when a column of times, or the first of numbers, goes along and numbers go up
function columns() {
  const heads = [...document.querySelectorAll("#rows thead th")];
  const across = heads.findIndex((head) => head.dataset.kind === "time");
  const numbers = heads.flatMap((head, index) => (head.dataset.kind === "number" ? [index] : []));
  const x = across >= 0 ? across : numbers.shift();
  return x === undefined || !numbers.length ? null : { x, isTime: across >= 0, y: numbers.slice(0, 6), names: heads.map((head) => head.textContent) };
}

function drawable() {
  const button = document.querySelector("#draw");
  if (button && columns()) button.hidden = false;
}

function drawing(place, width, isPaper) {
  const { x, isTime, y, names } = columns();
  const rows = [...document.querySelectorAll("#rows tbody tr")].map((row) => {
    const cells = row.cells;
    const at = isTime ? Date.parse(cells[x].textContent.trim().replace(" ", "T")) / 1000 : Number(cells[x].dataset.v);
    return [at, ...y.map((index) => (cells[index].dataset.v === undefined ? null : Number(cells[index].dataset.v)))];
  });
  rows.sort((a, b) => a[0] - b[0]);
  const data = [0, ...y].map((_, index) => rows.map((row) => row[index]));
  const ink = colour("--text-soft", isPaper);
  const grid = { stroke: colour("--line", isPaper), width: 1 };
  return new uPlot(
    {
      width,
      height: 300,
      scales: { x: { time: isTime } },
      series: [{ label: names[x] }, ...y.map((index, order) => ({ label: names[index], stroke: colour(`--series-${order + 1}`, isPaper), width: 1.5 }))],
      axes: [{ stroke: ink, grid, ticks: grid }, { stroke: ink, grid, ticks: grid, size: 70 }],
    },
    data,
    place,
  );
}

function draw() {
  const place = document.querySelector("#drawing");
  place.hidden = false;
  place.replaceChildren();
  drawing(place, place.clientWidth - 24, false);
}
onPaper(() => document.querySelector("#drawing"), (place) => drawing(place, PAPER_WIDTH, true).ctx.canvas, uPlot.pxRatio);

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("#draw");
  if (!button) return;
  const place = document.querySelector("#drawing");
  const isShown = button.getAttribute("aria-pressed") === "true";
  button.setAttribute("aria-pressed", String(!isShown));
  if (isShown) place.hidden = true;
  else draw();
});
drawable();
