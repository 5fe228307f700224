// The tab Graph: the steps and what they wait for. A step with a matrix is one node, with a bar of how far its tasks are.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../app/html.js";
import { navigate, route } from "../../app/router.js";
import { inert, plural } from "../../app/text.js";
import { Icon } from "../../parts/icon.js";
import { Link } from "../../parts/link.js";
import { iconOf, toneOf } from "../../parts/status.js";
import { countsOf, statusOf } from "./model.js";
import { layout, MOST_NODES, pathOf, shapeOf, shortened } from "./shape.js";

/** Below this width, in pixels, the graph goes downwards. */
const NARROW = 480;
/** A graph that is wider than its place is drawn smaller, but not smaller than this. */
const SMALLEST = 0.65;

/** `chosen`: the name of the step whose panel is open. */
export default function Graph({ job, chosen }) {
  const key = job.tasks.map((task) => `${task.name}\n${task.depends_on.join("\n")}`).join("\n\n");
  const shape = useMemo(() => shapeOf(job), [key]);
  const box = useRef(null);
  const [dagre, setDagre] = useState(null);
  const room = useWidth(box);
  const across = room >= NARROW;
  useEffect(() => {
    import("dagre").then((module) => setDagre(module), () => setDagre(false));
  }, []);
  const places = useMemo(() => (dagre && room && shape.drawn ? layout(shape, dagre, across) : null), [shape, dagre, room > 0, across]);
  const tasks = useMemo(() => byStep(job.tasks), [job.tasks]);
  return html`<div class="job-graph" ref=${box} data-keeps-scroll>${content({ shape, dagre, places, across, room, tasks, chosen })}</div>`;
}

/** The width inside an element, in pixels, as it changes. */
function useWidth(element) {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return width;
}

function content({ shape, dagre, places, across, room, tasks, chosen }) {
  if (!shape.drawn) {
    const { path, query } = route.value;
    return html`<p class="empty">
      This job has ${plural(shape.nodes.length, "step")}. A graph is drawn of up to ${MOST_NODES};
      the <${Link} to=${path} query=${{ ...query, tab: "table" }}>table<//> shows them all.
    </p>`;
  }
  if (!shape.nodes.length) return html`<p class="empty">This job has no steps.</p>`;
  if (dagre === false) return html`<p class="empty">The graph could not be loaded. The table shows the same.</p>`;
  if (!places) return html`<p class="muted">Drawing …</p>`;
  const { width, height } = places;
  const scale = Math.max(SMALLEST, Math.min(1, room / width));
  return html`<svg width=${width * scale} height=${height * scale} viewBox=${`0 0 ${width} ${height}`} role="group" aria-label="Graph of the steps">
    <defs>
      <marker id="job-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" ...${ARROW}><path d="M0 0L8 4L0 8z" /></marker>
    </defs>
    ${places.edges.map(({ from, to, points }) => {
      const marked = from === chosen || to === chosen ? "chosen" : "";
      return html`<path key=${`${from}\n${to}`} class=${`job-edge ${marked}`} d=${pathOf(points, across)} marker-end="url(#job-arrow)" />`;
    })}
    ${shape.nodes.map(
      (node) => html`<${Node} key=${node.id} node=${node} place=${places.nodes.get(node.id)} tasks=${tasks.get(node.id)}
        chosen=${node.id === chosen} />`,
    )}
  </svg>`;
}

const ARROW = { markerUnits: "userSpaceOnUse", orient: "auto" };

function byStep(tasks) {
  const found = new Map();
  for (const task of tasks) found.set(task.name, [...(found.get(task.name) ?? []), task]);
  return found;
}

function Node({ node, place, tasks, chosen }) {
  const { path, query } = route.value;
  const status = statusOf(tasks);
  const counts = countsOf(tasks);
  const grouped = node.step.matrix;
  const told = grouped ? `${tasks.length} tasks: ${counts.map(([one, count]) => `${count} ${one}`).join(", ")}` : status;
  const tone = status === "pending" ? "muted" : toneOf(status);
  const open = (event) => {
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    navigate(path, { query: { ...query, step: chosen ? null : node.id, index: null, attempt: null }, replace: true });
  };
  return html`<g class=${`job-node tone-${tone} ${chosen ? "chosen" : ""}`} transform=${`translate(${place.x} ${place.y})`}
    role="button" tabindex="0" aria-pressed=${chosen} aria-label=${inert(`${node.id}, ${told}`)} onClick=${open} onKeyDown=${open}>
    <title>${inert(`${node.id}: ${told}`)}</title>
    <rect width=${node.width} height=${node.height} rx="8" />
    <g transform=${`translate(10 ${grouped ? 8 : 14})`}><${Icon} name=${iconOf(status)} class=${status === "running" ? "turning" : ""} /></g>
    <text x="34" y=${grouped ? 21 : 27}>${inert(shortened(node.id, node.width))}</text>
    ${grouped && html`<${Share} counts=${counts} all=${tasks.length} width=${node.width} />`}
  </g>`;
}

const OPEN = new Set(["pending", "queued", "scheduled", "running"]);

/** How many tasks are not over. */
function openOf(counts) {
  return counts.reduce((sum, [status, count]) => sum + (OPEN.has(status) ? count : 0), 0);
}

/** The share of each status as a bar, and how many of all tasks are over. */
function Share({ counts, all, width }) {
  let x = 10;
  const shares = counts.map(([status, count]) => {
    const wide = ((width - 76) * count) / all;
    const rect = html`<rect key=${status} class=${`job-share tone-${toneOf(status)}`} x=${x} y="30" width=${wide} height="5" />`;
    x += wide;
    return rect;
  });
  return html`${shares}<text class="job-count" x=${width - 10} y="36" text-anchor="end">${all - openOf(counts)}/${all}</text>`;
}
