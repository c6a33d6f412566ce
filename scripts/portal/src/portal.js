// The frame of every page: iX components, htmx, and what the keyboard and the clock need.
import htmx from "htmx.org";
import { addIcons } from "@siemens/ix-icons";
import { defineCustomElement as icon } from "@siemens/ix-icons/components/ix-icon.js";
import { defineCustomElement as application } from "@siemens/ix/components/ix-application.js";
import { defineCustomElement as header } from "@siemens/ix/components/ix-application-header.js";
import { defineCustomElement as menu } from "@siemens/ix/components/ix-menu.js";
import { defineCustomElement as category } from "@siemens/ix/components/ix-menu-category.js";
import { defineCustomElement as item } from "@siemens/ix/components/ix-menu-item.js";
import * as icons from "./icons.js";
import { follow } from "./live.js";
import { localTimes, paperTimes } from "./times.js";

htmx.config.includeIndicatorStyles = false; // the page's own style has them; nothing is written into it
htmx.config.allowEval = false;
htmx.config.selfRequestsOnly = true;
htmx.config.historyCacheSize = 0; // what was seen is not left in the browser's storage
htmx.config.defaultSwapStyle = "outerHTML";
window.htmx = htmx;

addIcons(icons);
// there is room for the menu's words
if (matchMedia("(min-width: 1440px)").matches) document.querySelector("ix-menu")?.setAttribute("start-expanded", "");
for (const define of [icon, application, header, menu, category, item]) define();

const page = document.documentElement;

function typing(target) {
  return target.isContentEditable || target.closest?.("input, textarea, select, .cm-editor");
}

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !typing(event.target)) {
    const box = document.querySelector("#search");
    if (box) {
      event.preventDefault();
      box.focus();
      box.select();
    }
  }
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details.dropdown[open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  }
});

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.dropdown[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
  const row = event.target.closest?.("tr[data-href]");
  if (row && !event.target.closest("a, button, input, label, select, summary") && !getSelection().toString()) {
    location.href = row.dataset.href;
  }
  const dialog = event.target.closest?.("[data-dialog]");
  if (dialog) document.getElementById(dialog.dataset.dialog).showModal();
  if (event.target.closest?.("[data-close]")) event.target.closest("dialog").close();
  if (event.target.closest?.("[data-print]")) print();
});

// every request that changes something carries the token against forged requests
document.addEventListener("htmx:configRequest", (event) => {
  const token = document.querySelector("meta[name=csrf-token]");
  if (token) event.detail.headers["X-CSRF-Token"] = token.content;
});

// a request that could not be made or was refused is said, and nothing on the page is lost
document.addEventListener("htmx:sendError", () => say(page.dataset.unreachable));
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status === 401) location.reload(); // signed out meanwhile: the sign-in page comes back here
  else say(`${page.dataset.refused} (${status})`);
});

function say(text) {
  const place = document.querySelector("#said");
  place.textContent = text;
  place.hidden = false;
}

document.addEventListener("change", (event) => {
  // a choice that the page follows at once: language, theme
  if (event.target.closest?.("form[data-at-once]")) event.target.form.requestSubmit();
});

// what stands in the components' own trees must let the page run over several sheets
const sheets = new CSSStyleSheet();
sheets.replaceSync("@media print { div, main { display: block !important; height: auto !important; overflow: visible !important; margin: 0 !important; } }");
customElements.whenDefined("ix-application").then(async () => {
  const frame = document.querySelector("ix-application");
  await frame?.componentOnReady?.();
  frame?.shadowRoot?.adoptedStyleSheets.push(sheets);
});
addEventListener("beforeprint", () => {
  const place = document.querySelector("#printed-address");
  if (place) place.textContent = location.href;
  document.querySelector(".printed time")?.setAttribute("datetime", new Date().toISOString());
  paperTimes(true);
});
addEventListener("afterprint", () => paperTimes(false));

const labels = new Map([["ix-application-header", "ix-menu-expand-icon"]]);
customElements.whenDefined("ix-menu").then(() => nameFrame());
async function nameFrame() {
  // what the frame draws itself gets names in the page's language
  for (const [outer, inner] of labels) {
    const host = document.querySelector(outer);
    if (!host) continue;
    await host.componentOnReady?.();
    host.shadowRoot?.querySelector(inner)?.setAttribute("aria-label", page.dataset.menu);
  }
}

// what can be scrolled can be scrolled from the keyboard
function reachable() {
  for (const part of document.querySelectorAll(".scroll")) {
    const isWider = part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight;
    if (isWider) part.tabIndex = 0;
  }
}
addEventListener("resize", reachable);
reachable();

localTimes(document);
document.addEventListener("htmx:load", (event) => {
  localTimes(event.detail.elt);
  reachable();
});
follow();
