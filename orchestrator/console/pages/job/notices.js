// What a person should know first about a job: that it waits for them, why it waits, or where it failed.

import { html } from "../../app/html.js";
import { inert, plural } from "../../app/text.js";
import { now } from "../../app/time.js";
import { Icon } from "../../parts/icon.js";
import { iconOf, toneOf } from "../../parts/status.js";
import { Approval } from "./approval.js";
import { KeyWait } from "./key_wait.js";
import { StepLink } from "./links.js";
import { asks, isOver, stepsOf } from "./model.js";
import { Why } from "./waits.js";
import { titleOf, why } from "./words.js";

/** The most failures, and the most approvals, that are named before the tabs. */
const MOST = 3;
/** How long, in milliseconds, a step waits for a worker before that is told although other steps run. */
const LONG = 15_000;

export function Notices({ job, actions }) {
  if (!isOver(job)) {
    const asking = job.tasks.filter(asks);
    return html`${asking.slice(0, MOST).map((task) => html`<${Approval} key=${task.id} ...${{ task, actions }} />`)}
      ${asking.length > MOST && html`<p class="muted">${plural(asking.length - MOST, "more approval")} in the graph and the table.</p>`}
      <${Waits} job=${job} /><${Failures} job=${job} />`;
  }
  return html`<${Failures} job=${job} />`;
}

/** Whether the approval's form is among those before the tabs. */
export function isAskedAbove(job, task) {
  return job.tasks.filter(asks).slice(0, MOST).includes(task);
}

/** Why nothing of the job runs, or why a step has not begun for long. */
function Waits({ job }) {
  if (job.waiting_for) {
    return html`<p class="job-notice tone-waiting"><${Icon} name="clock" /><${KeyWait} key=${job.id} job=${job} /></p>`;
  }
  const runs = job.tasks.some((task) => task.status === "running" || task.status === "scheduled");
  const [first, ...others] = job.tasks.filter((task) => task.status === "queued" && (!runs || isLate(task)));
  if (!first) return null;
  return html`<div class="job-notice tone-waiting">
    <${Icon} name="clock" />
    <div>
      <${Why} key=${first.id} task=${first} name=${job.tasks.length > 1} />
      ${others.length > 0 && html`<p class="muted">${plural(others.length, "other task")} waits as well.</p>`}
    </div>
  </div>`;
}

function isLate({ queued_at: queued }) {
  return now.value - Date.parse(queued) > LONG;
}

function Failures({ job }) {
  const failed = stepsOf({ tasks: job.tasks.filter((task) => task.status === "failed" && !task.allow_failure) });
  const reason = isOver(job) && job.status !== "succeeded" && job.detail ? why(job) : null;
  if (!failed.length && !reason) return null;
  const status = failed.length ? "failed" : job.status;
  return html`<div class=${`job-notice tone-${toneOf(status)}`}>
    <${Icon} name=${iconOf(status)} />
    <ul>
      ${reason && html`<li>${sentence(inert(reason))}</li>`}
      ${failed.slice(0, MOST).map(({ name, tasks }) => html`<${Failure} key=${name} tasks=${tasks} />`)}
      ${failed.length > MOST && html`<li>and ${plural(failed.length - MOST, "other step")}: press <kbd>f</kbd> for the next failure</li>`}
    </ul>
  </div>`;
}

/** The failed tasks of one step: the first, and how many others. */
function Failure({ tasks: [first, ...others] }) {
  return html`<li>
    <${StepLink} task=${first}>${inert(titleOf(first))}<//> failed: ${inert(why(first) ?? "")}
    ${first.executions.length > 0 && html` · <${StepLink} task=${first} tab="log">log<//>`}
    ${others.length > 0 && html`<span class="muted"> · and ${plural(others.length, "other task")} of its matrix</span>`}
  </li>`;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
