// The columns of lists of jobs.
import { html } from "../../app/html.js";
import { href } from "../../app/router.js";
import { inert, shortId } from "../../app/text.js";
import { Labels } from "../../parts/labels.js";
import { Link } from "../../parts/link.js";
import { Status } from "../../parts/status.js";
import { Duration, Time } from "../../parts/time.js";

/** Characters: a longer name is clipped to two lines, with the whole in its title. */
const LONG = 60;
const NONE = html`<span class="muted">–</span>`;

export const STATUS = {
  key: "status", title: "Status", class: "narrow",
  cell: ({ status, reason, waiting_for: waits, gone }) => html`<${Status} of=${status} reason=${reason} />
    ${waits && html`<div class="muted one-line" title=${`waits for ${inert(waits)}`}>waits for ${inert(waits)}</div>`}
    ${gone && html`<div class="muted">no longer here</div>`}`,
};
export const CREATED = { key: "created", title: "Created", class: "when", cell: ({ created_at: at }) => html`<${Time} at=${at} relative />` };
export const TOOK = {
  key: "took", title: "Took", align: "end", class: "when",
  cell: ({ started_at: from, finished_at: to }) => html`<${Duration} from=${from} to=${to} />`,
};
const NAME = {
  key: "name", title: "Name", wide: true,
  cell: ({ id, name }) => html`<${Link} to=${`/jobs/${id}`}>
    <span class=${name.length > LONG ? "two-lines" : ""} title=${name.length > LONG ? inert(name) : undefined}>${inert(name)}</span>${" "}
    <code class="muted">${shortId(id)}</code><//>`,
};
const PIPELINE = {
  key: "pipeline", title: "Pipeline", class: "stacked", has: ({ pipeline_id: id }) => Boolean(id),
  cell: ({ pipeline_id: id, pipeline_version: version }) =>
    id ? html`<${Link} to=${`/pipelines/${id}`}><code>${shortId(id)}</code> v${version}<//>` : NONE,
};
const LABELS = {
  key: "labels", title: "Labels", has: ({ labels }) => Object.keys(labels).length > 0,
  cell: ({ labels }) => html`<${Labels} of=${labels} to=${(key, value) => href("/jobs", { label: `${key}=${value}` })} />`,
};

const STARTED_BY = {
  key: "by", title: "Started by", class: "started-by", cell: (job) => startedBy(job),
  has: ({ created_by: by, schedule_id: schedule, rerun_of: earlier }) => Boolean(by || schedule || earlier),
};

export const COLUMNS = [
  STATUS, NAME, PIPELINE, LABELS, STARTED_BY, CREATED, TOOK,
];

/** The schedule or the person, and the job that was run again, each on a line. */
function startedBy({ created_by: by, schedule_id: schedule, rerun_of: earlier }) {
  const lines = [
    schedule ? html`<${Link} to=${`/schedules/${schedule}`}>a schedule<//>` : by && inert(by.name),
    earlier && html`<${Link} to=${`/jobs/${earlier}`}>rerun of <code>${shortId(earlier)}</code><//>`,
  ].filter(Boolean);
  return lines.length > 0 ? lines.map((one) => html`<div>${one}</div>`) : NONE;
}
