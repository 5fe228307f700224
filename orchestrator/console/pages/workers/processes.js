// Workers that start or failed to: the worker manager has their processes, and the scheduler does not know them yet.
import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { navigate } from "../../app/router.js";
import { inert } from "../../app/text.js";
import { now } from "../../app/time.js";
import { Link } from "../../parts/link.js";
import { ProblemBox } from "../../parts/problem.js";
import { Status } from "../../parts/status.js";
import { Table } from "../../parts/table.js";
import { Time } from "../../parts/time.js";
import { notListed } from "./fleet.js";

const COLUMNS = [
  { key: "name", title: "Worker", cell: (row) => html`<${Link} to=${`/workers/${row.id}`}>${inert(row.name)}<//>` },
  { key: "status", title: "Process", cell: (row) => html`<${Status} of=${row.status} />` },
  { key: "detail", title: "How it ended", wide: true, cell: (row) => inert(row.detail ?? "–") },
  { key: "requested", title: "Requested", align: "end", cell: (row) => html`<${Time} at=${row.created_at} relative />` },
];

/** `<Processes filters=${filters} workers=${shown}/>`: nothing if each process is a worker. */
export function Processes({ filters: { type, name, label }, workers }) {
  const load = async ({ signal }) => {
    const ask = (status) => get("worker_manager", "/api/v1/workers", { query: { type, name, label, status, limit: 50 }, signal });
    return (await Promise.all(["starting", "failed"].map(ask))).flatMap(({ data }) => data);
  };
  const { data, error } = useLive(load, [JSON.stringify([type, name, label])], { every: 3000 });
  const rows = notListed(data ?? [], workers, now.peek());
  return html`<${ProblemBox} error=${error} />
    ${rows.length > 0 && html`<h2>Starting or failed</h2>
      <${Table} label="Starting or failed" columns=${COLUMNS} rows=${rows} onOpen=${(row) => navigate(`/workers/${row.id}`)} />`}`;
}
