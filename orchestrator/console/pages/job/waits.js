// Why a task waits, as the scheduler explains it.

import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { inert, plural } from "../../app/text.js";
import { Link } from "../../parts/link.js";
import { titleOf } from "./words.js";

/** The most workers that are named with what they lack. */
const MOST_WORKERS = 8;

/** One sentence about a task that is not over, and for one that waits for a worker what is wrong with each worker. With
 *  `name`, the sentence begins with the step's name. */
export function Why({ task, name = false }) {
  const load = async ({ signal }) => (await get("scheduler", `/api/v1/tasks/${task.id}/explain`, { signal })).data;
  const { data, error } = useLive(load, [task.id, task.status, task.attempt], { every: 3000 });
  if (!data) {
    return html`<p class="job-why" aria-live="polite">
      ${error ? `Why it waits is not known: ${error.title}.` : html`<span class="muted">Asking the scheduler why it waits …</span>`}
    </p>`;
  }
  const { summary, position, others } = data;
  const refusals = data.workers.filter((one) => !one.fits);
  return html`<div class="job-why" aria-live="polite">
    <p>
      ${name && html`<strong>${inert(titleOf(task))}</strong> `}${inert(sentence(summary, name))}
      ${position > 0 && html`<span class="muted" aria-live="off"> · number ${position} in <${Link} to="/queue">the queue<//></span>`}
    </p>
    ${refusals.length + others.length > 1 && html`<${Refusals} ...${{ refusals, others }} />`}
  </div>`;
}

function Refusals({ refusals, others }) {
  return html`<ul>
    ${refusals.slice(0, MOST_WORKERS).map(
      ({ worker_id: id, name, refusal }) => html`<li key=${id}><${Link} to=${`/workers/${id}`}>${inert(name)}<//> ${inert(refusal)}</li>`,
    )}
    ${refusals.length > MOST_WORKERS && html`<li>and ${plural(refusals.length - MOST_WORKERS, "more worker")}</li>`}
    ${others.map(({ count, refusal }) => {
      const why = refusal?.replace(/^is /, "") ?? "could take it";
      return html`<li key=${refusal}>${plural(count, "worker")}: ${inert(why)}</li>`;
    })}
  </ul>`;
}

function sentence(summary, continued) {
  return continued ? summary : summary.charAt(0).toUpperCase() + summary.slice(1);
}
