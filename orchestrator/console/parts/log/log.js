// The log of a job: of one attempt of one step, or of several steps side by side.
import { html } from "../../app/html.js";
import { remembered } from "../../app/remembered.js";
import { navigate, route } from "../../app/router.js";
import { inert, words } from "../../app/text.js";
import { Empty } from "../empty.js";
import { addressOf, attemptsOf, executionToShow, taskNamed, taskToShow, titleOf } from "./choose.js";
import { Lanes } from "./lanes.js";
import { Pane } from "./pane.js";

const wrap = remembered("log.wrap", true);
const times = remembered("log.times", false);

/** `<Log job tasks step index attempt/>`: `step`, `index` and `attempt` are what the address names, or undefined. `tasks`
 * are the job's own unless they are given. */
export default function Log({ job, tasks = job.tasks, step, index, attempt }) {
  if (!tasks.some((task) => executionToShow(task))) return html`<${Empty} text=${nothingYet(job)} />`;
  const lanes = route.value.query.lanes !== undefined && tasks.length > 1;
  const task = taskNamed(tasks, step, index) ?? taskToShow(tasks);
  const execution = executionToShow(task, attempt);
  const shown = { wrap: wrap.value, times: times.value };
  return html`<div class="log">
    <div class="log-choice">
      ${tasks.length > 1 && html`<${Steps} tasks=${tasks} chosen=${lanes ? "" : task.id} />`}
      ${!lanes && html`<${Attempts} task=${task} chosen=${execution} />`}
      <${Toggle} label="Wrap" of=${wrap} /><${Toggle} label="Times" of=${times} />
    </div>
    ${lanes && html`<${Lanes} job=${job} tasks=${tasks} ...${shown} />`}
    ${!lanes && !execution && html`<${Empty} text="This step has not run, so it has no log." />`}
    ${!lanes && execution && html`<${Pane} key=${execution.id} ...${{ job, task, execution, ...shown }} />`}
  </div>`;
}

function nothingYet({ status }) {
  if (status === "pending") return "The job waits. Its output is shown here once a step runs.";
  if (status === "running") return "No step has run yet. The output is shown here once one does.";
  return "No step of this job has run, so it has no log.";
}

/** Change what the address says about the log, and forget the lines that it names: they are another log's. */
function choose(changes) {
  const { path, query } = route.peek();
  navigate(path, { query: { ...query, ...changes }, replace: true });
}

function Steps({ tasks, chosen }) {
  const onChange = ({ target: { value } }) => {
    const task = tasks.find((one) => one.id === value);
    choose(task ? addressOf(task) : { step: null, index: null, attempt: null, lanes: "1" });
  };
  return html`<label>Step <select value=${chosen} onChange=${onChange}>
    <option value="">All side by side</option>
    ${tasks.map((task) => html`<option key=${task.id} value=${task.id}>${inert(titleOf(task))} · ${words(task.status)}</option>`)}
  </select></label>`;
}

function Attempts({ task, chosen }) {
  const attempts = attemptsOf(task);
  if (attempts.length < 2) return null;
  const onChange = ({ target: { value } }) => choose(addressOf(task, value));
  return html`<label>Attempt <select value=${String(chosen.attempt)} onChange=${onChange}>
    ${attempts.map(({ attempt, status }) => html`<option value=${String(attempt)}>${attempt} · ${words(status)}</option>`)}
  </select></label>`;
}

function Toggle({ label, of }) {
  const onChange = ({ target }) => {
    of.value = target.checked;
  };
  return html`<label><input type="checkbox" checked=${of.value} onChange=${onChange} /> ${label}</label>`;
}
