// How the last runs of a pipeline went: as bars, in numbers, and as a list.
import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { href, navigate } from "../../app/router.js";
import { count, shortId, words } from "../../app/text.js";
import { formatDuration, formatTime, now } from "../../app/time.js";
import { Empty } from "../../parts/empty.js";
import { Link } from "../../parts/link.js";
import { ProblemBox } from "../../parts/problem.js";
import { toneOf } from "../../parts/status.js";
import { Table } from "../../parts/table.js";
import { CREATED, STATUS, TOOK } from "../jobs/columns.js";
import { bars } from "./bars.js";

const WIDTH = 600;
const HEIGHT = 80;
const FOOT = 16;

export function Runs({ pipeline }) {
  const path = `/api/v1/pipelines/${pipeline.id}/statistics`;
  const { data, error, refresh } = useLive(({ signal }) => get("orchestrator", path, { signal }), [path]);
  if (!data) return error ? html`<${ProblemBox} error=${error} retry=${refresh} />` : html`<p class="muted">Loading…</p>`;
  const { runs, ...numbers } = data.data;
  if (!runs.length && pipeline.status === "archived") return html`<${Empty} text="It has no runs." />`;
  if (!runs.length) {
    return html`<${Empty} text="It has not run yet." command=${`hodei pipelines run ${pipeline.id}`}>
      <p>or <${Link} to="/run" query=${{ pipeline: pipeline.id }}>run it here<//>.</p>
    <//>`;
  }
  return html`
    <${Numbers} ...${numbers} />
    <${Bars} runs=${runs} />
    <${Table} label="Last runs" columns=${COLUMNS} rows=${runs} onOpen=${({ id }) => navigate(`/jobs/${id}`)} />
    <p><${Link} to="/jobs" query=${{ pipeline: pipeline.id }}>All its jobs<//></p>
  `;
}

const ID = { key: "id", title: "Job", cell: ({ id }) => html`<${Link} to=${`/jobs/${id}`}><code>${shortId(id)}</code><//>` };
const COLUMNS = [STATUS, ID, CREATED, TOOK];

function Numbers({ mean, p95, success_rate: rate, counted }) {
  const seconds = (value) => (value === null || value === undefined ? "–" : formatDuration(value * 1000));
  const facts = [
    ["Mean duration", seconds(mean)],
    ["95 % within", seconds(p95)],
    ["Succeeded", rate === null || rate === undefined ? "–" : `${Math.round(rate * 100)} %`],
    ["Of runs", count(counted)],
  ];
  return html`<dl class="numbers">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** A cross below a bar, so that a failure is not told by its colour alone. */
const crossIn = ({ x, width }) => `M${x + 4} ${HEIGHT + 4}L${x + width - 4} ${HEIGHT + 12}M${x + width - 4} ${HEIGHT + 4}L${x + 4} ${HEIGHT + 12}`;

function Bars({ runs }) {
  const shown = bars(runs, { width: WIDTH, height: HEIGHT, now: now.value });
  const told = ({ id, status, duration }, created) => `${shortId(id)}: ${words(status)}, ${formatDuration(duration)}, ${formatTime(created)}`;
  const created = new Map(runs.map((run) => [run.id, run.created_at]));
  return html`<svg class="bars" viewBox=${`0 0 ${WIDTH} ${HEIGHT + FOOT}`} preserveAspectRatio="none" role="group" aria-label=${`The last ${runs.length} runs, oldest first`}>
    ${shown.map((bar) => html`<a key=${bar.id} href=${href(`/jobs/${bar.id}`)} aria-label=${told(bar, created.get(bar.id))}>
      <rect class="touch" x=${bar.x} y="0" width=${bar.width} height=${HEIGHT + FOOT} />
      <rect class=${`bar tone-${toneOf(bar.status)}`} x=${bar.x} y=${bar.y} width=${bar.width} height=${bar.height}><title>${told(bar, created.get(bar.id))}</title></rect>
      ${bar.status === "failed" && html`<path class="cross" d=${crossIn(bar)} />`}
    </a>`)}
  </svg>`;
}
