// The tab Events: the job's timeline as a list, the latest at the end; of one step, if one is chosen.

import { html, useMemo, useState } from "../../app/html.js";
import { route } from "../../app/router.js";
import { count, inert, plural } from "../../app/text.js";
import { formatDuration } from "../../app/time.js";
import { Link } from "../../parts/link.js";
import { ScrollBox } from "../../parts/scroll-box.js";
import { Time } from "../../parts/time.js";
import { StepLink } from "./links.js";
import { eventInWords, titleOf } from "./words.js";

/** How many events are shown at first, and how many more at a time. */
const AT_ONCE = 300;

/** `step`: the name of the step that is chosen. */
export default function Events({ job, events, step }) {
  const [shown, setShown] = useState(AT_ONCE);
  const { path, query } = route.value;
  const tasks = useMemo(() => new Map(job.tasks.map((task) => [task.id, task])), [job.tasks]);
  const wanted = useMemo(
    () => (step ? events.filter(({ data }) => tasks.get(data.task_id)?.name === step) : events),
    [events, step, tasks],
  );
  const hidden = Math.max(0, wanted.length - shown);
  if (!wanted.length) return html`<p class="empty">No event yet.</p>`;
  const earlier = Math.min(AT_ONCE, hidden);
  return html`${hidden > 0 &&
    html`<p>
      <button type="button" onClick=${() => setShown(shown + AT_ONCE)}>Show ${plural(earlier, "earlier event")}</button>
      <span class="muted"> of ${count(hidden)}</span>
    </p>`}
    <${ScrollBox} label="Events">
      <table class="job-events">
        <thead>
          <tr><th scope="col">Time</th><th scope="col" class="end">After</th><th scope="col">Step</th><th scope="col">Event</th></tr>
        </thead>
        <tbody>
          ${wanted.slice(hidden).map((event) => html`<${Event} key=${event.id} ...${{ event, job }} task=${tasks.get(event.data.task_id)} />`)}
        </tbody>
      </table>
    <//>
    <p class="muted">
      ${plural(wanted.length, "event")}
      ${step && html` of ${inert(step)} · <${Link} to=${path} query=${{ ...query, step: null, index: null }}>Events of all steps<//>`}
    </p>`;
}

function Event({ event, job, task }) {
  const { what, detail } = eventInWords(event);
  const [open, setOpen] = useState(false);
  return html`<tr>
    <td><${Time} at=${event.time} /></td>
    <td class="end number" title=${event.time}>${formatDuration(Date.parse(event.time) - Date.parse(job.created_at))}</td>
    <td>${task && html`<${StepLink} task=${task} tab="events">${inert(titleOf(task))}<//>`}</td>
    <td class="wide">
      <details onToggle=${(one) => setOpen(one.target.open)}>
        <summary>${inert(what)}${detail && html`<span class="muted"> · ${inert(detail)}</span>`}</summary>
        ${open && html`<pre>${inert(JSON.stringify(event, null, 1))}</pre>`}
      </details>
    </td>
  </tr>`;
}
