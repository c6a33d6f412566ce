// The chart of a trend: asks for as many points as it has pixels, and asks anew on every zoom.
import uPlot from "uplot";
import { numberText } from "./live.js";
import { PAPER_WIDTH, colour, onPaper } from "./paper.js";

const chart = document.querySelector("#chart");
const note = document.querySelector("#chart-note");
const rangeText = document.querySelector("#chart-range");
const lines = [...document.querySelectorAll("#legend [data-line]")].map((row, index) => ({
  row,
  series: Number(row.dataset.line),
  name: row.dataset.name,
  unit: row.dataset.unit,
  color: `--series-${(index % 6) + 1}`,
}));
const HEIGHT = 416;
const STRIP = 5; // height of a strip that tells of quality, one a line
const AXES_MAX = 4;
const MIN_US = 1e6;
const MAX_US = 3650 * 86400e6;
const language = document.documentElement.lang;
const asked = new URLSearchParams(location.search);

let range = null; // [from, to] in microseconds, or nothing: the last span, live
let span = Number(chart.dataset.span) * 1e6;
let told = null;
let plot = null;
let before = []; // ranges to zoom out to
let newest = 0;

if (asked.get("from") && asked.get("to")) {
  const chosen = [Date.parse(asked.get("from")) * 1000, Date.parse(asked.get("to")) * 1000];
  if (chosen[0] < chosen[1]) range = chosen;
}

const tint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function current() {
  if (range) return range;
  const now = Math.max(Date.now() * 1000, newest);
  return [now - span, now];
}

async function fetchData() {
  const [from, to] = current().map(Math.round);
  const query = new URLSearchParams(lines.map((line) => ["series", line.series]));
  query.set("from_us", from);
  query.set("to_us", to);
  query.set("width", Math.max(100, Math.round(chart.clientWidth)));
  const mine = (fetchData.last = Symbol("asked"));
  chart.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(`/trend/data?${query}`, { headers: { "HX-Request": "true" } });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(answer.status);
    const found = await answer.json();
    if (mine !== fetchData.last) return; // a later zoom was quicker
    told = found;
    draw();
    performance.mark("trend-drawn");
  } catch (error) {
    if (mine === fetchData.last) note.textContent = `${chart.dataset.failed} (${error.message})`;
  } finally {
    if (mine === fetchData.last) chart.removeAttribute("aria-busy");
  }
}

// Values whose quality is uncertain are a line of their own, dashed; both meet at the border.
function parts(found) {
  const times = found.time_us.map((at) => at / 1e6);
  const spans = found.spans.filter(([, , severity]) => severity === 1);
  if (!spans.length) return [times, found.value, found.value.map(() => undefined)];
  const sure = [];
  const unsure = [];
  let at = 0;
  for (let i = 0; i < times.length; i++) {
    const time = found.time_us[i];
    while (at < spans.length && spans[at][1] <= time) at++;
    const inside = at < spans.length && spans[at][0] <= time;
    const edge = !inside && i > 0 && at > 0 && spans[at - 1][1] > found.time_us[i - 1];
    sure.push(inside ? null : found.value[i]);
    unsure.push(inside || edge ? found.value[i] : null);
  }
  return [times, sure, unsure];
}

const scaleOf = (line) => line.unit || "1";

const drawn = () => lines.map((line) => ({ line, found: told.series.find((each) => each.series === line.series) })).filter((each) => each.found);

// The chart within a place, on screen or on paper.
function plotted(shown, place, width, isPaper) {
  const tables = shown.map(({ found }) => parts(found));
  const data = tables.length ? uPlot.join(tables) : [[]];
  const tinted = (name) => colour(name, isPaper);
  const ink = tinted("--text-soft");
  const grid = { stroke: tinted("--line"), width: 1 };
  const font = `12px ${tint("--theme-font-sans") || "sans-serif"}`;
  const scales = { x: { time: true, range: () => [told.from_us / 1e6, told.to_us / 1e6] } };
  const units = [...new Set(shown.map(({ line }) => scaleOf(line)))];
  for (const unit of units) scales[unit] = { auto: true, range: padded };
  const series = [{}];
  for (const { line } of shown) {
    const base = { label: line.name, scale: scaleOf(line), stroke: tinted(line.color), width: 1.5, spanGaps: false, points: { size: 4 } };
    series.push(base, { ...base, label: `${line.name} ?`, dash: [4, 4] });
  }
  const axes = [{ stroke: ink, grid, ticks: grid, font, space: 90, values: clockTexts }];
  units.slice(0, AXES_MAX).forEach((unit, index) => {
    const own = shown.filter(({ line }) => scaleOf(line) === unit);
    const stroke = own.length === 1 && units.length > 1 ? tinted(own[0].line.color) : ink;
    axes.push({
      scale: unit,
      side: index % 2 ? 1 : 3,
      stroke,
      font,
      labelFont: font,
      size: 64,
      label: unit === "1" ? undefined : unit,
      labelSize: unit === "1" ? 0 : 18,
      grid: index ? { show: false } : grid,
      ticks: grid,
      values: (_, splits) => splits.map((value) => (value === null ? "" : new Intl.NumberFormat(language, { maximumSignificantDigits: 6 }).format(value))),
    });
  });
  const options = {
    width,
    height: HEIGHT,
    series,
    scales,
    axes,
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
    padding: [12, 12, lines.length * STRIP + 4, 8],
    hooks: {
      setSelect: [(self) => zoom(self)],
      setCursor: [(self) => atCursor(self, shown)],
      drawClear: [(self) => drawGaps(self, shown, tinted)],
      draw: [(self) => drawQuality(self, shown, tinted)],
    },
  };
  return new uPlot(options, data, place);
}

function draw() {
  const shown = drawn();
  plot?.destroy();
  chart.replaceChildren();
  plot = plotted(shown, chart, chart.clientWidth, false);
  plot.over.addEventListener("dblclick", zoomOut);
  for (const { line, found } of shown) {
    line.row.querySelector("[data-low]").textContent = numberText(found.low);
    line.row.querySelector("[data-high]").textContent = numberText(found.high);
    newest = Math.max(newest, found.time_us.at(-1) ?? 0);
  }
  const format = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" });
  rangeText.textContent = format.formatRange(new Date(told.from_us / 1000), new Date(told.to_us / 1000));
  const rows = told.series.reduce((sum, each) => sum + each.rows, 0);
  note.textContent = rows ? "" : chart.dataset.empty;
  document.querySelector("[data-do=now]").setAttribute("aria-pressed", String(!range));
  const query = new URLSearchParams(lines.map((line) => ["series", line.series]));
  query.set("from_us", told.from_us);
  query.set("to_us", told.to_us);
  document.querySelector("#export").href = `/trend/export.csv?${query}`;
}

// the time of each tick, as exact as the step asks for; the date where it changes
function clockTexts(self, splits, axis, space, step) {
  const day = { month: "2-digit", day: "2-digit" };
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 ? { second: "2-digit" } : {}) };
  const date = new Intl.DateTimeFormat(language, step >= 86400 * 300 ? { year: "numeric", month: "2-digit" } : day);
  const time = new Intl.DateTimeFormat(language, clock);
  let before = "";
  return splits.map((at) => {
    const moment = new Date(at * 1000);
    const shown = date.format(moment);
    const text = step >= 86400 ? shown : before === shown ? time.format(moment) : `${time.format(moment)}\n${shown}`;
    before = shown;
    return text;
  });
}

function padded(self, low, high) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}

function across(self, from, to) {
  const left = Math.max(self.bbox.left, self.valToPos(from / 1e6, "x", true));
  const right = Math.min(self.bbox.left + self.bbox.width, self.valToPos(to / 1e6, "x", true));
  return right > left ? [left, Math.max(1, right - left)] : null;
}

function drawGaps(self, shown, tinted) {
  self.ctx.fillStyle = tinted("--surface-2");
  for (const { found } of shown) {
    for (const [from, to] of found.gaps) {
      const at = across(self, from, to);
      if (at) self.ctx.fillRect(at[0], self.bbox.top, at[1], self.bbox.height);
    }
  }
}

// one strip a line below the chart: filled where it was bad, ticked where uncertain, boxed where missing
function drawQuality(self, shown, tinted) {
  const { ctx } = self;
  const ratio = uPlot.pxRatio;
  const bad = tinted("--p1");
  const unsure = tinted("--p3");
  const missing = tinted("--line-strong");
  ctx.save();
  shown.forEach(({ line, found }, index) => {
    const top = ctx.canvas.height - (shown.length - index) * STRIP * ratio;
    const height = (STRIP - 1) * ratio;
    ctx.fillStyle = tinted(line.color);
    ctx.fillRect(self.bbox.left - 8 * ratio, top, 5 * ratio, height);
    for (const [from, to, severity] of found.spans) {
      const at = across(self, from, to);
      if (!at) continue;
      ctx.fillStyle = severity === 1 ? unsure : bad;
      if (severity !== 1) ctx.fillRect(at[0], top, at[1], height);
      else for (let x = 0; x < at[1]; x += 6 * ratio) ctx.fillRect(at[0] + x, top, Math.min(3 * ratio, at[1] - x), height);
    }
    ctx.strokeStyle = missing;
    for (const [from, to] of found.gaps) {
      const at = across(self, from, to);
      if (at) ctx.strokeRect(at[0], top, at[1], height);
    }
  });
  ctx.restore();
}

function atCursor(self, shown) {
  const { idx } = self.cursor;
  shown.forEach(({ line }, index) => {
    const sure = idx === null ? null : nearest(self.data[1 + 2 * index], idx);
    const unsure = idx === null ? null : nearest(self.data[2 + 2 * index], idx);
    const cell = line.row.querySelector("[data-cursor]");
    cell.textContent = numberText(sure ?? unsure);
    cell.dataset.quality = sure === null && unsure !== null ? "uncertain" : "good";
  });
}

function nearest(values, index) {
  for (let at = index; at >= 0 && index - at < 200; at--) if (values[at] !== undefined) return values[at];
  return null;
}

function go(next, keep = true) {
  if (keep) before.push(range);
  range = next;
  const address = new URL(location.href);
  for (const [name, at] of [["from", 0], ["to", 1]]) {
    if (range) address.searchParams.set(name, new Date(range[at] / 1000).toISOString());
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
  fetchData();
}

function zoom(self) {
  const { left, width } = self.select;
  if (width < 4) return;
  const from = self.posToVal(left, "x") * 1e6;
  const to = self.posToVal(left + width, "x") * 1e6;
  self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  if (to - from >= MIN_US) go([from, to]);
}

function zoomOut() {
  if (before.length) return go(before.pop(), false);
  scaled(2);
}

function scaled(by) {
  const [from, to] = current();
  const half = Math.min(MAX_US, Math.max(MIN_US, (to - from) * by)) / 2;
  const middle = (from + to) / 2;
  go([middle - half, middle + half]);
}

function moved(by) {
  const [from, to] = current();
  const step = (to - from) * by;
  go([from + step, to + step]);
}

const deeds = {
  earlier: () => moved(-0.5),
  later: () => moved(0.5),
  out: zoomOut,
  now: () => go(null),
  picture: () => {
    const link = document.createElement("a");
    link.download = "trend.png";
    link.href = chart.querySelector("canvas").toDataURL("image/png");
    link.click();
  },
};
document.querySelector("#chart-tools").addEventListener("click", (event) => deeds[event.target.closest("[data-do]")?.dataset.do]?.());
chart.addEventListener("keydown", (event) => {
  const deed = { ArrowLeft: () => moved(-0.25), ArrowRight: () => moved(0.25), "+": () => scaled(0.5), "=": () => scaled(0.5), "-": () => scaled(2) }[event.key];
  if (deed && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    deed();
  }
});

// while it is live, values that are pushed go on with the line; all is asked for anew now and then
let pushed = 0;
document.addEventListener("values", ({ detail }) => {
  if (range || !told || document.hidden) return;
  let grown = false;
  for (const value of detail) {
    const found = told.series.find((each) => each.series === value.series);
    if (!found || value.time_us <= (found.time_us.at(-1) ?? 0)) continue;
    const severity = Math.min(value.quality >>> 30, 2);
    found.time_us.push(value.time_us);
    found.value.push(severity === 2 ? null : value.value);
    if (severity) found.spans.push([value.time_us, value.time_us + 1e6, severity]);
    newest = Math.max(newest, value.time_us);
    grown = true;
  }
  if (!grown) return;
  [told.from_us, told.to_us] = current();
  if (++pushed % 60 === 0) fetchData();
  else draw();
});

onPaper(() => chart, (place) => told && plotted(drawn(), place, PAPER_WIDTH, true).ctx.canvas, uPlot.pxRatio);
new ResizeObserver(() => chart.clientWidth && plot && plot.width !== chart.clientWidth && fetchData()).observe(chart);
new MutationObserver(() => told && draw()).observe(document.documentElement, { attributes: true, attributeFilter: ["data-ix-color-schema"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => told && draw());
if (lines.length) fetchData();
