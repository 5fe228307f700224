// The tab Definition: what the job was told to do, step by step, as it was frozen when it was submitted.

import { html } from "../../app/html.js";
import { inert } from "../../app/text.js";
import { Copy } from "../../parts/copy.js";
import { Facts } from "../../parts/facts.js";
import { INTERPRETERS } from "../../parts/interpreters.js";
import { Link } from "../../parts/link.js";
import { Pairs } from "./facts.js";
import { StepLink } from "./links.js";
import { stepsOf } from "./model.js";
import { commandText } from "./words.js";

export default function Definition({ job }) {
  const steps = stepsOf(job);
  return html`<div class="job-definition">
    <p class="muted">
      ${job.pipeline_id
        ? html`As it was in <${Link} to=${`/pipelines/${job.pipeline_id}`}>version ${job.pipeline_version} of the pipeline<//>.`
        : "As it was submitted."}
      ${" "}<${Copy} text=${JSON.stringify(job, null, 2)} label="Copy the job as JSON" word="JSON" />
    </p>
    <${Facts} of=${[
      ["Time limit", job.timeout && `${job.timeout} s`],
      ["Clean-up may take", `${job.cleanup_timeout} s`],
      ["At once with its key", job.concurrency && `${job.concurrency.limit} (${job.concurrency.when_full})`],
      ["Parameters", hasAny(job.params) && html`<${Pairs} of=${job.params} copy />`],
      ["Environment of all steps", hasAny(job.env) && html`<${Pairs} of=${job.env} copy />`],
    ]} />
    ${steps.map((step) => html`<section key=${step.name} class="job-step">
      <h2><${StepLink} task=${step.tasks[0]} tab="table">${inert(step.name)}<//></h2>
      <${Script} task=${step.tasks[0]} />
      <${Rules} task=${step.tasks[0]} tasks=${step.tasks} />
    </section>`)}
  </div>`;
}

/** What a step runs, or asks. */
export function Script({ task }) {
  if (task.type === "approval") return html`<p>${inert(task.approval.message || "Asks for an approval.")}</p>`;
  const text = commandText(task.command);
  return html`<div class="job-script"><pre tabindex="0">${inert(text)}</pre><${Copy} text=${text} label="Copy the command" /></div>`;
}

/** When a step runs, where, and how often; below `title`, if there is anything to tell. */
export function Rules({ task, tasks = [task], title = null }) {
  const rules = rulesOf(task, tasks);
  return rules.some(([, value]) => value) ? html`${title}<${Facts} of=${rules} />` : null;
}

function rulesOf(task, tasks) {
  const { retry, resources } = task;
  return [
    ["Interpreter", task.type !== "shell" && INTERPRETERS[task.type]],
    ["Waits for", task.depends_on.length > 0 && task.depends_on.map(inert).join(", ")],
    ["When", { on_success: null, on_failure: "one of them failed", always: "always, whatever they did" }[task.when]],
    ["Only if", task.if && html`<code>${inert(task.if)}</code>`],
    ["Matrix", tasks[0].matrix && axesOf(tasks)],
    ["At once", task.max_parallel],
    ["A failure", task.allow_failure && "is allowed"],
    ["Retries", retry && retryInWords(retry)],
    ["If its worker is lost", task.retry_on_lost === false && "does not run again"],
    ["Time limit", task.timeout && `${task.timeout} s`],
    ["Waits for a worker", task.queue_timeout && `at most ${task.queue_timeout} s`],
    ["Requires", hasAny(task.requires) && Object.entries(task.requires).map(([key, value]) => inert(`${key}=${value}`)).join(", ")],
    ["Needs", resources && Object.entries(resources).filter(([, value]) => value).map(([key, value]) => `${key} ${value}`).join(", ")],
    ["Folder", task.working_dir && html`<code>${inert(task.working_dir)}</code>`],
    ["Labels", hasAny(task.labels) && Object.entries(task.labels).map(([key, value]) => inert(`${key}=${value}`)).join(", ")],
    ["Environment", hasAny(task.env) && html`<${Pairs} of=${task.env} copy />`],
  ];
}

/** The values of each axis, as far as the tasks have them: `python: 3.11, 3.12`. */
function axesOf(tasks) {
  const axes = new Map();
  for (const task of tasks) {
    for (const [name, value] of Object.entries(task.matrix ?? {})) axes.set(name, (axes.get(name) ?? new Set()).add(String(value)));
  }
  return [...axes].map(([name, values]) => inert(`${name}: ${[...values].join(", ")}`)).join("; ");
}

function retryInWords({ max_attempts: most, delay, factor, on_exit_codes: codes }) {
  const pause = delay ? `, after ${delay} s${factor > 1 ? `, then × ${factor}` : ""}` : "";
  return `up to ${most} attempts${pause}${codes?.length ? `, after exit code ${codes.join(", ")}` : ""}`;
}

function hasAny(values) {
  return values && Object.keys(values).length > 0;
}
