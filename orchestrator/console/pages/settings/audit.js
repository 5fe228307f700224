// The audit logs of the three services: who changed what, and which calls were refused.
import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { inert, plural, shortId } from "../../app/text.js";
import { Empty } from "../../parts/empty.js";
import { Filters, filtersOf, Pages } from "../../parts/filters.js";
import { Link } from "../../parts/link.js";
import { ProblemBox } from "../../parts/problem.js";
import { Table } from "../../parts/table.js";
import { Time } from "../../parts/time.js";

const SERVICES = ["orchestrator", "scheduler", "worker_manager"];
const SERVICE = { name: "service", label: "Log of the", none: "orchestrator", choices: [["scheduler", "scheduler"], ["worker_manager", "worker manager"]] };
const FILTERS = [
  { name: "outcome", label: "Outcome", choices: ["changed", "failed", "unauthorized", "forbidden"] },
  { name: "by", label: "Token", hint: "a name or an id" },
  { name: "method", label: "Method", choices: ["POST", "PUT", "PATCH", "DELETE"] },
];
const OUTCOMES = { changed: "succeeded", failed: "failed", unauthorized: "warning", forbidden: "warning" };
const COLUMNS = [
  { key: "at", title: "When", cell: (row) => html`<${Time} at=${row.created_at} />` },
  { key: "outcome", title: "Outcome", cell: (row) => html`<span class=${`tone-${OUTCOMES[row.outcome] ?? "muted"}`}>${row.outcome}</span>${row.count > 1 ? ` (${plural(row.count, "call")})` : ""}` },
  { key: "by", title: "Token", cell: (row) => (row.by ? inert(row.by.name) : html`<span class="muted">none</span>`) },
  { key: "call", title: "Call", wide: true, cell: (row) => html`<code>${row.method} ${inert(row.route)}</code>` },
  { key: "what", title: "Of", cell: (row) => html`<${Entities} of=${row} />` },
  { key: "address", title: "Address", cell: (row) => inert(row.address ?? "") },
];

export function Audit({ query }) {
  const service = SERVICES.includes(query.service) ? query.service : "orchestrator";
  const filters = filtersOf(FILTERS, query);
  const { data, error, refresh } = useLive(({ signal }) => get(service, "/api/v1/audit", { query: filters, signal }), [service, JSON.stringify(filters)], { every: 10_000 });
  return html`<${Filters} fields=${[SERVICE, ...FILTERS]} query=${query} />
    <${ProblemBox} error=${error} retry=${refresh} />
    ${data && html`<${Table} label="Audit log" columns=${COLUMNS} rows=${data.data} empty=${html`<${Empty} text="No call matches. With access off, no calls are recorded." command="hodei audit" />`} />`}
    ${data && html`<${Pages} query=${query} next=${data.next} />`}`;
}

const PAGES = { jobs: "/jobs", pipelines: "/pipelines", scheduled: "/schedules", workers: "/workers" };

function Entities({ of: { route, entity_ids: ids } }) {
  const page = PAGES[route.split("/")[3]];
  return html`${ids.slice(0, 3).map((id) => html`${page ? html`<${Link} key=${id} to=${`${page}/${id}`}><code>${shortId(id)}</code><//>` : html`<code key=${id}>${shortId(id)}</code>`} `)}
    ${ids.length > 3 && html`<span class="muted">and ${ids.length - 3} more</span>`}`;
}
