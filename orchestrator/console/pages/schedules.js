// All schedules: what they run, when they fire in words, and when next.
import { get } from "../app/api.js";
import { html, useState } from "../app/html.js";
import { useLive } from "../app/live.js";
import { lacking } from "../app/role.js";
import { navigate } from "../app/router.js";
import { inert } from "../app/text.js";
import { Empty } from "../parts/empty.js";
import { Filters, filtersOf, Pages } from "../parts/filters.js";
import { PageHead } from "../parts/head.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";
import { NewSchedule } from "./schedules/form.js";
import { Runs } from "./schedules/runs.js";
import { called } from "./schedules/words.js";

const FIELDS = [
  { name: "status", label: "Status", choices: ["scheduled", "paused", "completed", "failed"] },
  { name: "name", label: "Name", hint: "backup, or back*" },
];
const COMMAND = "hodei schedules add --cron '30 2 * * *' --name backup 'pg_dump shop > /backup/shop.sql'";
const COLUMNS = [
  { key: "name", title: "Schedule", cell: (row) => html`<${Link} to=${`/schedules/${row.id}`}>${inert(called(row))}<//>` },
  { key: "status", title: "Status", cell: (row) => html`<${Status} of=${row.status} />` },
  { key: "when", title: "Fires", wide: true, cell: (row) => row.description ?? html`Once, <${Time} at=${row.run_at ?? row.created_at} />` },
  { key: "runs", title: "Runs", wide: true, cell: (row) => html`<${Runs} schedule=${row} />` },
  { key: "next", title: "Next", cell: (row) => html`<${Time} at=${row.next_run_at} relative />` },
  { key: "last", title: "Last", cell: (row) => html`<${Last} ...${row} />` },
];

export const title = () => "Schedules";

export default function Schedules({ query }) {
  const [adding, setAdding] = useState(false);
  const filters = filtersOf(FIELDS, query);
  const load = ({ signal }) => get("scheduler", "/api/v1/scheduled", { query: { ...filters, limit: 100 }, signal });
  const { data, error, loading } = useLive(load, [JSON.stringify(filters)], { every: 5000 });
  const add = html`<button type="button" class="primary" onClick=${() => setAdding(true)} ...${lacking("scheduler POST /api/v1/schedule")}>New schedule</button>`;
  return html`<${PageHead} title="Schedules" actions=${add} />
    ${adding && html`<${NewSchedule} onClose=${() => setAdding(false)} />`}
    <${Filters} fields=${FIELDS} query=${query} />
    <${ProblemBox} error=${error} />
    ${data && html`<${Table}
      label="Schedules"
      columns=${COLUMNS}
      rows=${data.data}
      onOpen=${(row) => navigate(`/schedules/${row.id}`)}
      empty=${html`<${Nothing} filtered=${FIELDS.some(({ name }) => query[name])} />`}
    />`}
    ${data && html`<${Pages} query=${query} next=${data.next} />`}
    ${loading && !data && html`<p class="muted">Loading…</p>`}`;
}

function Nothing({ filtered }) {
  if (filtered) return html`<${Empty} text="No schedule matches these filters." />`;
  return html`<${Empty} text="There are no schedules yet. A schedule runs a command, a pipeline or an earlier job at given times." command=${COMMAND} />`;
}

function Last({ last_run_at: at, last_job_id: job, last_error: error }) {
  if (error) return html`<span class="tone-failed" title=${inert(error)}>refused</span>`;
  if (!job) return html`<${Time} at=${at} relative />`;
  return html`<${Link} to=${`/jobs/${job}`} aria-label="The job of the last firing"><${Time} at=${at} relative /><//>`;
}
