// What the server pushes: whatever bears data-series shows the latest value of that series, and whatever
// bears data-renew-on is asked for anew when that has changed.
import { show } from "./times.js";

const page = document.documentElement;
const wholes = new Map();

export function numberText(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const places = size >= 1000 || Number.isInteger(value) ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  if (!wholes.has(places)) {
    const digits = { maximumFractionDigits: places, minimumFractionDigits: places };
    wholes.set(places, new Intl.NumberFormat(page.lang, digits));
  }
  return wholes.get(places).format(value);
}

// OPC UA StatusCode: the two highest bits are good, uncertain, bad
export function qualityOf(code) {
  return ["good", "uncertain", "bad", "bad"][code >>> 30];
}

function take(element, value) {
  const before = element.dataset.value;
  const now = value.value;
  const shown = value.text ?? numberText(now);
  if (element.textContent !== shown) element.textContent = shown;
  element.dataset.quality = qualityOf(value.quality);
  if (now !== null && before) {
    const step = now - Number(before);
    element.dataset.trend = step > 0 ? "up" : step < 0 ? "down" : "flat";
  }
  element.dataset.value = now ?? "";
}

function values(told) {
  page.dataset.stream = told.live ? "open" : "dark";
  for (const value of told.values) {
    for (const element of document.querySelectorAll(`[data-series="${value.series}"]`)) take(element, value);
    for (const element of document.querySelectorAll(`[data-series-time="${value.series}"]`)) {
      element.setAttribute("datetime", new Date(value.time_us / 1000).toISOString());
      show(element);
    }
  }
  document.dispatchEvent(new CustomEvent("values", { detail: told.values }));
}

const changed = new Map(); // topic: when it last changed
const renewed = new Map(); // id of a part: when it was last asked for

function renew() {
  if (document.hidden) return;
  const now = performance.now();
  for (const part of document.querySelectorAll("[data-renew-on]")) {
    const last = renewed.get(part.id) ?? 0;
    const news = part.dataset.renewOn.split(" ").some((topic) => (changed.get(topic) ?? 0) > last);
    // somebody who is choosing, typing or reading a dialog is left in peace
    const used = part.querySelector("dialog[open], details[open], input:checked, :focus");
    if (!news || used || now - last < 1000 * Number(part.dataset.renew)) continue;
    renewed.set(part.id, now);
    window.htmx.trigger(part, "renew");
  }
}

export function follow() {
  const wanted = new Set();
  for (const element of document.querySelectorAll("[data-series]")) wanted.add(element.dataset.series);
  if (!wanted.size && !document.querySelector("[data-renew-on]")) return;
  const stream = new EventSource(`${page.dataset.live}?series=${[...wanted].join(",")}`);
  stream.addEventListener("values", (event) => values(JSON.parse(event.data)));
  stream.addEventListener("changed", (event) => {
    for (const topic of JSON.parse(event.data)) changed.set(topic, performance.now());
  });
  stream.addEventListener("open", () => (page.dataset.stream = "open"));
  stream.addEventListener("error", () => (page.dataset.stream = "lost"));
  setInterval(renew, 500);
  addEventListener("pagehide", () => stream.close());
}
