// The tree of nodes as a picture, with health by shape and colour; renewed when the server says so.
import cytoscape from "cytoscape";
import { numberText } from "./live.js";
import { colour, onPaper } from "./paper.js";

// what Cytoscape would write into the page as a style of its own stands in ours already
const marker = document.createElement("meta");
marker.id = "__________cytoscape_stylesheet";
document.head.append(marker);

const place = document.querySelector("#graph");
const ROW = { headquarters: 0, hub: 150, gateway: 320 };
const WIDTH = 170;
const PER_ROW = 8;
const DEPTH = 110;
const PAPER_RATIO = 2;

function look(isPaper = false) {
  const tinted = (name) => colour(name, isPaper);
  const border = { live: "--ok", late: "--p3", silent: "--p1", never: "--line-strong", quarantined: "--p2", revoked: "--line-strong" };
  const style = [
    {
      selector: "node",
      style: {
        label: "data(label)",
        "text-wrap": "wrap",
        "text-valign": "center",
        "font-size": 13,
        "font-family": "system-ui, Noto Sans CJK SC, sans-serif",
        color: tinted("--text"),
        "background-color": tinted("--surface-2"),
        "border-width": 2,
        "border-color": tinted("--line-strong"),
        width: 140,
        height: 58,
        shape: "round-rectangle",
      },
    },
    { selector: "node[role='headquarters']", style: { "font-weight": "bold", width: 180, "background-color": tinted("--accent-soft") } },
    { selector: "node[role='hub']", style: { shape: "cut-rectangle" } },
    { selector: "node[?alarms]", style: { "font-weight": "bold" } },
    {
      selector: "edge",
      style: {
        width: 2,
        "curve-style": "taxi",
        "taxi-direction": "upward",
        "line-color": tinted("--line-strong"),
        "target-arrow-color": tinted("--line-strong"),
        "target-arrow-shape": "triangle",
        "font-size": 11,
      },
    },
    { selector: "edge[standing='silent'], edge[standing='never']", style: { "line-style": "dashed" } },
    { selector: "node:selected", style: { "border-color": tinted("--focus") } },
  ];
  for (const [standing, name] of Object.entries(border)) {
    style.push({ selector: `node[standing='${standing}']`, style: { "border-color": tinted(name), "border-style": standing === "never" ? "dotted" : standing === "late" ? "dashed" : "solid", "border-width": standing === "live" ? 2 : 4 } });
  }
  style.push({ selector: "edge[standing='silent']", style: { "line-color": tinted("--p1"), "target-arrow-color": tinted("--p1") } });
  return style;
}

// every node's place: under the one it sends to, in rows, so that a picture stays as it is when it is renewed
function places(told) {
  const below = new Map();
  for (const { source, target } of told.links) below.set(target, [...(below.get(target) ?? []), source]);
  const role = new Map(told.nodes.map((node) => [node.id, node.role]));
  const top = told.nodes[0].id;
  const groups = (below.get(top) ?? []).map((id) => (role.get(id) === "hub" ? { id, members: below.get(id) ?? [] } : { members: [id] }));
  const found = new Map();
  let left = 0;
  for (const group of groups) {
    const columns = Math.max(1, Math.min(PER_ROW, group.members.length));
    group.members.forEach((id, index) => found.set(id, { x: left + (index % columns) * WIDTH, y: ROW.gateway + Math.floor(index / columns) * DEPTH }));
    if (group.id) found.set(group.id, { x: left + ((columns - 1) * WIDTH) / 2, y: ROW.hub });
    left += columns * WIDTH;
  }
  found.set(top, { x: Math.max(0, left - WIDTH) / 2, y: ROW.headquarters });
  return found;
}

let graph = null;

async function renew() {
  const answer = await fetch("/topology/data", { headers: { "HX-Request": "true" } });
  if (!answer.ok) return void (place.title = place.dataset.failed);
  const told = await answer.json();
  const at = places(told);
  const nodes = told.nodes.map((node) => {
    const alarms = node.alarms ? `  ▲ ${node.alarms}` : "";
    return { data: { ...node, label: `${node.id}${alarms}\n${numberText(Math.round(node.rate * 10) / 10)}/s` }, position: at.get(node.id) ?? { x: 0, y: 0 } };
  });
  const edges = told.links.map((link) => ({ data: { ...link, id: `${link.source} ${link.target}` } }));
  const shape = [...nodes, ...edges].map((each) => each.data.id).sort().join("\n");
  if (graph && graph.shape === shape) {
    for (const { data } of [...nodes, ...edges]) graph.drawn.getElementById(data.id).data(data);
    return;
  }
  graph?.drawn.destroy();
  place.replaceChildren();
  const drawn = cytoscape({
    container: place,
    elements: [...nodes, ...edges],
    style: look(),
    layout: { name: "preset", fit: true, padding: 30 },
    minZoom: 0.1,
    maxZoom: 1.5,
    userZoomingEnabled: false, // the wheel scrolls the page
    autoungrabify: true,
  });
  if (drawn.zoom() > 1.1) drawn.zoom({ level: 1.1, position: { x: 0, y: 0 } }), drawn.center();
  drawn.on("tap", "node[role='gateway']", (event) => (location.href = `/gateways/${encodeURIComponent(event.target.id())}`));
  graph = { drawn, shape };
}

document.addEventListener("htmx:afterSwap", (event) => event.detail.target?.id === "rows" && renew());
onPaper(() => place, () => {
  if (!graph) return null;
  graph.drawn.style(look(true));
  const canvas = graph.drawn.renderer().bufferCanvasImage({ full: true, scale: PAPER_RATIO, bg: "#fff" });
  graph.drawn.style(look());
  return canvas;
}, PAPER_RATIO);
const restyle = () => graph?.drawn.style(look());
new MutationObserver(restyle).observe(document.documentElement, { attributes: true, attributeFilter: ["data-ix-color-schema"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
new ResizeObserver(() => place.clientWidth && graph && (graph.drawn.resize(), graph.drawn.fit(undefined, 30))).observe(place);
renew();
