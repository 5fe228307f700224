// The page Pipelines: those that are stored, newest first.
import { get } from "../app/api.js";
import { html } from "../app/html.js";
import { useLive } from "../app/live.js";
import { navigate } from "../app/router.js";
import { inert, shortId } from "../app/text.js";
import { Empty } from "../parts/empty.js";
import { Filters, filtersOf, Pages } from "../parts/filters.js";
import { PageHead } from "../parts/head.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Table } from "../parts/table.js";
import { Time } from "../parts/time.js";

const PAGE = 50;
const FILTERS = [
  { name: "name", label: "Name", hint: "nightly, or night*" },
  { name: "status", label: "Status", choices: ["archived"], none: "active" },
];

export const title = () => "Pipelines";

export default function Pipelines({ query }) {
  const asked = { ...filtersOf(FILTERS, query), limit: PAGE };
  const load = ({ signal }) => get("orchestrator", "/api/v1/pipelines", { query: asked, signal });
  const { data, error, refresh } = useLive(load, [JSON.stringify(asked)], { every: 5000 });
  return html`
    <${PageHead} title="Pipelines" />
    <${Filters} fields=${FILTERS} query=${query} />
    <${ProblemBox} error=${error} retry=${refresh} />
    ${data && html`
      <${Table} label="Pipelines" columns=${COLUMNS} rows=${data.data} onOpen=${({ id }) => navigate(`/pipelines/${id}`)}
        empty=${html`<${Nothing} status=${query.status ?? "active"} name=${query.name} />`} />
      <${Pages} query=${query} next=${data.next} />
    `}
    ${!data && !error && html`<p class="muted">Loading…</p>`}
  `;
}

const COLUMNS = [
  {
    key: "name", title: "Name", wide: true,
    cell: ({ id, name, description }) => html`<${Link} to=${`/pipelines/${id}`}>${inert(name)} <code class="muted">${shortId(id)}</code><//>
      ${description && html`<div class="muted one-line">${inert(description)}</div>`}`,
  },
  { key: "version", title: "Version", align: "end" },
  { key: "steps", title: "Steps", align: "end", cell: ({ steps }) => steps.length },
  { key: "updated", title: "Changed", cell: ({ updated_at: at }) => html`<${Time} at=${at} relative />` },
  { key: "by", title: "By", cell: ({ updated_by: by }) => (by ? inert(by.name) : html`<span class="muted">–</span>`) },
  {
    key: "run", title: html`<span class="visually-hidden">Run</span>`,
    cell: ({ id, name, status }) =>
      status === "active" && html`<${Link} to="/run" query=${{ pipeline: id }} aria-label=${`Run ${inert(name)}`}>Run<//>`,
  },
];

function Nothing({ status, name }) {
  if (name) {
    return html`<${Empty} text=${`No ${status} pipeline has the name ${inert(name)}.`} />`;
  }
  if (status === "archived") return html`<${Empty} text="No pipeline is archived." />`;
  return html`<${Empty} text="No pipeline is stored yet. Store one that is in a file:" command="hodei pipelines apply pipeline.yaml" />`;
}
