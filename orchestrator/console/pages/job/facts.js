// What a job is: where it came from, when it ran, and with what.

import { html } from "../../app/html.js";
import { href } from "../../app/router.js";
import { inert, shortId } from "../../app/text.js";
import { now } from "../../app/time.js";
import { Copy } from "../../parts/copy.js";
import { Facts } from "../../parts/facts.js";
import { Labels } from "../../parts/labels.js";
import { Link } from "../../parts/link.js";
import { Duration, Time } from "../../parts/time.js";
import { Priority } from "./priority.js";

/** The facts in the head of a job's page. `change(priority)` changes the priority. */
export function JobFacts({ job, change }) {
  const { concurrency_key: key } = job;
  return html`<${Facts} of=${[
    ["Id", html`<code title=${job.id}>${shortId(job.id)}</code><${Copy} text=${job.id} label="Copy the id" />`],
    ["Submitted", html`<${Time} at=${job.created_at} />${origin(job)}`],
    ["Due", isDue(job) ? null : html`<${Time} at=${job.run_at} />`],
    ["Waited", html`<${Duration} from=${job.created_at} to=${job.started_at ?? job.finished_at} />`],
    ["Took", job.started_at && html`<${Duration} from=${job.started_at} to=${job.finished_at} />`],
    ["Ended", job.finished_at && html`<${Time} at=${job.finished_at} />`],
    ["Cancelled by", job.cancelled_by && inert(job.cancelled_by.name)],
    ["Pipeline", job.pipeline_id && html`<${Link} to=${`/pipelines/${job.pipeline_id}`}>version ${job.pipeline_version}<//>`],
    ["Priority", html`<${Priority} job=${job} change=${change} />`],
    ["Concurrency key", key && html`<${Link} to="/jobs" query=${{ concurrency_key: key }}>${inert(key)}<//>`],
    ["Parameters", hasAny(job.params) && html`<${Pairs} of=${job.params} />`],
    ["Labels", hasAny(job.labels) && html`<${Labels} of=${job.labels} to=${jobsWith} />`],
  ]} />`;
}

/** The list of jobs with a label. */
function jobsWith(key, value) {
  return href("/jobs", { label: `${key}=${value}` });
}

function origin({ created_by: by, schedule_id: schedule, rerun_of: earlier }) {
  return [
    by && html` by ${inert(by.name)}`,
    schedule && html` by <${Link} to=${`/schedules/${schedule}`}>a schedule<//>`,
    earlier && html`, rerun of <${Link} to=${`/jobs/${earlier}`}>${shortId(earlier)}<//>`,
  ];
}

function isDue({ run_at: due, status }) {
  return !due || status !== "pending" || Date.parse(due) <= now.value;
}

function hasAny(values) {
  return Object.keys(values).length > 0;
}

/** Names with their values, one each line; long values are cut by the page and can be copied whole. */
export function Pairs({ of, copy = false }) {
  return html`<ul class="job-pairs">
    ${Object.entries(of).map(
      ([name, value]) => html`<li key=${name}>
        <code class="job-name">${inert(name)}</code><code class="job-value">${inert(String(value))}</code>
        ${copy && html`<${Copy} text=${String(value)} label=${`Copy ${inert(name)}`} />`}
      </li>`,
    )}
  </ul>`;
}
