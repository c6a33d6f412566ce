// Times: the server writes them in UTC; here they become the reader's own, with the zone on hover.

const language = document.documentElement.lang;
const parts = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const whole = new Intl.DateTimeFormat(language, { ...parts, hourCycle: "h23" });
const short = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const zone = new Intl.DateTimeFormat(language, { ...parts, hourCycle: "h23", timeZoneName: "longOffset" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "short" });
const STEPS = [
  [60, 1, "second"],
  [3600, 60, "minute"],
  [86400, 3600, "hour"],
  [Infinity, 86400, "day"],
];

let isPaper = false;

// On paper nobody can ask how long ago that was.
export function paperTimes(asked) {
  isPaper = asked;
  localTimes(document);
}

export function localTimes(root) {
  for (const element of root.querySelectorAll?.("time[datetime]") ?? []) show(element);
}

export function show(element) {
  const at = new Date(element.getAttribute("datetime"));
  if (Number.isNaN(at.getTime())) return;
  element.title = zone.format(at);
  if (element.dataset.form === "zone") element.textContent = zone.format(at);
  else if (isPaper) element.textContent = whole.format(at);
  else if (element.dataset.form === "ago") element.textContent = ago(at);
  else if (element.dataset.form === "clock") element.textContent = short.format(at);
  else element.textContent = whole.format(at);
}

function ago(at) {
  const seconds = Math.round((at.getTime() - Date.now()) / 1000);
  const [, size, unit] = STEPS.find(([below]) => Math.abs(seconds) < below);
  return relative.format(Math.round(seconds / size), unit);
}

setInterval(() => {
  if (isPaper) return;
  for (const element of document.querySelectorAll('time[data-form="ago"]')) show(element);
}, 5000);
