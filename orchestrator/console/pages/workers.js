// All workers: whether they take work, their slots, labels and capacity, and the age of their heartbeats.
import { get } from "../app/api.js";
import { html, useState } from "../app/html.js";
import { useLive } from "../app/live.js";
import { lacking } from "../app/role.js";
import { href, navigate } from "../app/router.js";
import { inert } from "../app/text.js";
import { Empty } from "../parts/empty.js";
import { Filters, filtersOf, Pages } from "../parts/filters.js";
import { PageHead } from "../parts/head.js";
import { Labels } from "../parts/labels.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { amounts, fleetSlots } from "./workers/fleet.js";
import { NewWorker } from "./workers/form.js";
import { Processes } from "./workers/processes.js";
import { Heartbeat, Slots } from "./workers/view.js";

const FIELDS = [
  { name: "status", label: "Status", choices: ["online", "draining", "unhealthy", "offline"] },
  { name: "type", label: "Type" },
  { name: "name", label: "Name", hint: "gpu-1, or gpu*" },
  { name: "label", label: "Label", hint: "zone=north" },
];
const COMMAND = "hodei worker --slots 4";
const withLabel = (key, value) => href("/workers", { label: `${key}=${value}` });
const COLUMNS = [
  { key: "name", title: "Worker", cell: (row) => html`<${Link} to=${`/workers/${row.id}`}>${inert(row.name)}<//>` },
  { key: "status", title: "Status", cell: (row) => html`<${Status} of=${row.status} />` },
  { key: "slots", title: "Slots", cell: (row) => html`<${Slots} of=${row} />` },
  { key: "heartbeat", title: "Heartbeat", align: "end", cell: (row) => html`<${Heartbeat} of=${row} />` },
  { key: "type", title: "Type", cell: (row) => inert(row.type) },
  { key: "labels", title: "Labels", wide: true, cell: (row) => html`<${Labels} of=${row.labels} to=${withLabel} />` },
  { key: "capacity", title: "Capacity", cell: (row) => amounts(row.capacity) ?? "–" },
];

export const title = () => "Workers";

export default function Workers({ query }) {
  const [starting, setStarting] = useState(false);
  const filters = filtersOf(FIELDS, query);
  const load = ({ signal }) => get("scheduler", "/api/v1/workers", { query: { ...filters, limit: 100 }, signal });
  const { data, error, loading } = useLive(load, [JSON.stringify(filters)]);
  const start = html`<button type="button" class="primary" onClick=${() => setStarting(true)} ...${lacking("worker_manager POST /api/v1/workers")}>Start a worker</button>`;
  return html`<${PageHead} title="Workers" actions=${start}>${data && html`<${Summary} workers=${data.data} />`}<//>
    ${starting && html`<${NewWorker} onClose=${() => setStarting(false)} />`}
    <${Filters} fields=${FIELDS} query=${query} />
    <${ProblemBox} error=${error} />
    ${data && html`<${Table}
      label="Workers"
      columns=${COLUMNS}
      rows=${data.data}
      onOpen=${(row) => navigate(`/workers/${row.id}`)}
      empty=${html`<${Nothing} filtered=${FIELDS.some(({ name }) => query[name])} />`}
    />`}
    ${data && html`<${Pages} query=${query} next=${data.next} />`}
    ${data && !filters.status && !query.cursor && html`<${Processes} filters=${filters} workers=${data.data} />`}
    ${loading && !data && html`<p class="muted">Loading…</p>`}`;
}

function Summary({ workers }) {
  const { busy, total } = fleetSlots(workers);
  return html`<p>${busy} of ${total} slots of the online workers below are taken.</p>`;
}

function Nothing({ filtered }) {
  if (filtered) return html`<${Empty} text="No worker matches these filters." />`;
  return html`<${Empty} text="No worker is known. Start one here, or on any machine that reaches NATS." command=${COMMAND} />`;
}
