// The panel of a step: how it stands and why, its attempts, what it wrote and ran.

import { html } from "../../app/html.js";
import { lackingFor } from "../../app/role.js";
import { setQuery } from "../../app/router.js";
import { inert, shortId, words } from "../../app/text.js";
import { Icon } from "../../parts/icon.js";
import { Link } from "../../parts/link.js";
import { ScrollBox } from "../../parts/scroll-box.js";
import { Status } from "../../parts/status.js";
import { Duration } from "../../parts/time.js";
import { Approval } from "./approval.js";
import { Rules, Script } from "./definition.js";
import { Pairs } from "./facts.js";
import { StepLink } from "./links.js";
import { asks, countsOf, isKept, isOver } from "./model.js";
import { isAskedAbove } from "./notices.js";
import { Why } from "./waits.js";
import { exitInWords, reasonInWords, titleOf, why } from "./words.js";

export const close = () => setQuery({ step: null, index: null, attempt: null });

/** `chosen`: what `selected` returns; `bars`: what `barsOf` returns. */
export function Panel({ job, chosen, bars, actions }) {
  const { step, task } = chosen;
  const title = inert(task ? titleOf(task) : step.name);
  return html`<aside class="job-panel" aria-label=${`Step ${title}`}>
    <header>
      <h2>${title}</h2>
      <button type="button" class="quiet" aria-label="Close the step" title="Close (Esc)" onClick=${close}>
        <${Icon} name="cross" />
      </button>
    </header>
    ${task
      ? html`<${OfTask} key=${task.id} ...${{ job, task, actions, bars: bars.get(task.id) ?? [] }} />`
      : html`<${OfMatrix} step=${step} />`}
  </aside>`;
}

function OfMatrix({ step }) {
  const counts = countsOf(step.tasks);
  const order = new Map(counts.map(([status], place) => [status, place]));
  const tasks = [...step.tasks].sort((one, other) => order.get(one.status) - order.get(other.status) || one.index - other.index);
  return html`<p>${step.tasks.length} tasks: ${counts.map(([status, count]) => `${count} ${status}`).join(", ")}</p>
    <ul class="job-members">
      ${tasks.map(
        (task) => html`<li key=${task.id}><${StepLink} task=${task}>${inert(titleOf(task))}<//> <${Status} of=${task.status} /></li>`,
      )}
    </ul>`;
}

function OfTask({ job, task, bars, actions }) {
  const reason = why(task);
  const waits = ["pending", "queued"].includes(task.status) && !isOver(job);
  return html`<p class="job-standing">
      <${Status} of=${task.status} />
      ${task.started_at && html`<${Duration} from=${task.started_at} to=${task.finished_at} />`}
    </p>
    ${reason && html`<p class=${task.status === "failed" ? "tone-failed" : ""}>${inert(sentence(reason))}</p>`}
    ${isKept(job, task) &&
    html`<p class="muted">
      Kept from <${Link} to=${`/jobs/${job.rerun_of}`}>the earlier job ${shortId(job.rerun_of)}<//>: it did not run again.
    </p>`}
    ${waits && html`<${Why} task=${task} />`}
    ${asks(task) && !isAskedAbove(job, task) && html`<${Approval} task=${task} actions=${actions} />`}
    <${Decision} of=${task.decision} />
    <div class="job-step-actions">
      ${task.executions.length > 0 && html`<${StepLink} task=${task} tab="log" class="button">Log<//>`}
      ${isOver(job) &&
      html`<button type="button" disabled=${actions.busy} onClick=${() => actions.rerun(task.name)} ...${lackingFor("orchestrator POST /api/v1/jobs/{id}/rerun", job)}>Rerun from here</button>`}
    </div>
    ${bars.length > 0 && task.type !== "approval" && html`<${Attempts} task=${task} bars=${bars} />`}
    ${Object.keys(task.outputs).length > 0 && html`<h3>Outputs</h3><${Pairs} of=${task.outputs} copy />`}
    <h3>${task.type === "approval" ? "Asks" : "Command"}</h3>
    <${Script} task=${task} />
    ${task.type !== "approval" && html`<${Environment} job=${job} task=${task} />`}
    <${Rules} task=${task} title=${html`<h3>Rules</h3>`} />`;
}

function Decision({ of }) {
  if (!of) return null;
  const who = of.by ?? of.decided_by?.name;
  const how = [of.approved ? "Approved" : "Rejected", who && ` by ${inert(who)}`, of.comment && `: “${inert(of.comment)}”`];
  return html`<p>${how}</p>
    ${Object.keys(of.inputs).length > 0 && html`<${Pairs} of=${of.inputs} />`}`;
}

function Attempts({ task, bars }) {
  const lasted = ([from, to] = []) => html`<${Duration} from=${from && iso(from)} to=${to && iso(to)} />`;
  return html`<h3>Attempts</h3>
    <${ScrollBox} label="Attempts">
      <table class="job-attempts">
        <thead>
          <tr>
            <th scope="col" class="end">#</th><th scope="col">Ended with</th><th scope="col" class="end">Waited</th>
            <th scope="col" class="end">Ran</th><th scope="col">Worker</th><th scope="col"><span class="visually-hidden">Log</span></th>
          </tr>
        </thead>
        <tbody>
          ${[...bars].reverse().map((bar) => html`<tr key=${`${bar.attempt} ${bar.execution}`}>
            <td class="end">${bar.attempt}</td>
            <td>${endOf(bar)}</td>
            <td class="end">${lasted(waited(bar))}</td>
            <td class="end">${lasted(bar.running ?? [])}</td>
            <td>${workerOf(task, bar)}</td>
            <td>${bar.execution && html`<${StepLink} task=${task} tab="log" attempt=${bar.attempt}>log<//>`}</td>
          </tr>`)}
        </tbody>
      </table>
    <//>`;
}

/** From the queueing of an attempt to its start, or to now. */
function waited({ waiting, placed, running }) {
  const from = (waiting ?? placed)?.[0];
  if (from === undefined) return [];
  return [from, running ? running[0] : (placed ?? waiting)[1]];
}

function endOf({ status, reason, exit_code: code }) {
  if (code !== null) return exitInWords(code, reason);
  if (status === null) return "waits";
  return reason && reason !== status ? reasonInWords(reason) : words(status);
}

function workerOf(task, bar) {
  const execution = task.executions.find((one) => one.id === bar.execution);
  const name = inert(bar.worker ?? "");
  return execution?.worker_id ? html`<${Link} to=${`/workers/${execution.worker_id}`}>${name}<//>` : name;
}

function Environment({ job, task }) {
  const own = { ...parameters(job.params), ...job.env, ...task.env };
  const names = Object.keys(own);
  if (!names.length) return null;
  return html`<details class="job-environment">
    <summary>Environment <span class="muted">${names.length}</span></summary>
    <${Pairs} of=${own} copy />
  </details>`;
}

function parameters(params) {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [`HODEI_PARAM_${name.toUpperCase()}`, value]));
}

function iso(ms) {
  return new Date(ms).toISOString();
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
