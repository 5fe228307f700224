// The tab Table: every task with its status, attempts, times and worker. The tasks of a large matrix are one row until it
// is opened.

import { html, useMemo, useState } from "../../app/html.js";
import { route, setQuery } from "../../app/router.js";
import { count, inert } from "../../app/text.js";
import { Icon } from "../../parts/icon.js";
import { Link } from "../../parts/link.js";
import { iconOf, Status, toneOf } from "../../parts/status.js";
import { Table } from "../../parts/table.js";
import { Duration, Time } from "../../parts/time.js";
import { StepLink } from "./links.js";
import { addressOf, countsOf, isKept, statusOf, stepsOf, toggled } from "./model.js";
import { exitInWords, titleOf } from "./words.js";

const MOST_TASKS = 8;

export default function Tasks({ job }) {
  const [opened, setOpened] = useState(new Set());
  const { show } = route.value.query;
  const rows = useMemo(() => rowsOf(job, show, opened), [job, show, opened]);
  const toggle = (name) => setOpened((old) => toggled(old, name));
  const open = (row) => (row.group ? toggle(row.name) : setQuery(addressOf(row)));
  return html`<${Filter} tasks=${job.tasks} show=${show} />
    <${Table} label="Steps" columns=${columnsFor(job, opened, toggle)} rows=${rows} onOpen=${open}
      empty=${html`<p class="empty">No task is ${show}.</p>`} />`;
}

/** Buttons that leave only the tasks with one status. */
function Filter({ tasks, show }) {
  const { path, query } = route.value;
  const counts = countsOf(tasks);
  if (counts.length < 2 && !show) return null;
  const item = (status, label, number) => html`<${Link} key=${label} class="job-filter" to=${path} query=${{ ...query, show: status }}
    aria-current=${show === status ? "true" : undefined} data-keeps-scroll>${label} <span class="number">${count(number)}</span><//>`;
  return html`<nav class="job-filters" aria-label="Show">
    ${item(undefined, "all", tasks.length)} ${counts.map(([status, number]) => item(status, status, number))}
  </nav>`;
}

/** The rows: tasks, and above those of a large matrix one for the step. */
function rowsOf(job, show, opened) {
  if (show) return job.tasks.filter((task) => task.status === show);
  return stepsOf(job).flatMap(({ name, tasks }) => {
    if (tasks.length <= MOST_TASKS) return tasks;
    const group = { id: `step ${name}`, group: true, name, tasks, status: statusOf(tasks) };
    return opened.has(name) ? [group, ...tasks] : [group];
  });
}

function columnsFor(job, opened, toggle) {
  const ofTask = (cell) => (row) => (row.group ? null : cell(row));
  return [
    {
      key: "step", title: "Step", wide: true,
      cell: (row) => row.group
        ? html`<button type="button" class="quiet job-toggle" aria-expanded=${opened.has(row.name)} onClick=${() => toggle(row.name)}>
            <${Icon} name="chevron" class=${opened.has(row.name) ? "down" : ""} /> ${inert(row.name)}
          </button>`
        : html`<${StepLink} task=${row} class=${opened.has(row.name) ? "job-inner" : ""}>${inert(titleOf(row))}<//>`,
    },
    {
      key: "status", title: "Status",
      cell: (row) => row.group
        ? html`<span class=${`tone-${toneOf(row.status)}`}><${Icon} name=${iconOf(row.status)} /></span> ${countsInWords(row.tasks)}`
        : html`<${Status} of=${row.status} reason=${row.reason} />`,
    },
    { key: "exit", title: "Ended with", cell: ofTask((task) => exitInWords(task.exit_code, task.reason)) },
    {
      key: "attempt", title: "Attempts", align: "end",
      cell: ofTask((task) => (isKept(job, task) ? "kept" : task.executions.length || "")),
    },
    { key: "started", title: "Started", cell: ofTask((task) => html`<${Time} at=${task.started_at} />`) },
    {
      key: "took", title: "Took", align: "end",
      cell: ofTask((task) => html`<${Duration} from=${task.started_at} to=${task.finished_at} />`),
    },
    { key: "worker", title: "Worker", cell: ofTask((task) => html`<${Worker} of=${task.executions.at(-1)} />`) },
  ];
}

function countsInWords(tasks) {
  return countsOf(tasks).map(([status, number]) => `${number} ${status}`).join(", ");
}

/** The worker of an execution, by its name if that is known. */
function Worker({ of }) {
  if (!of?.worker_id) return html`<span class="muted">–</span>`;
  return html`<${Link} to=${`/workers/${of.worker_id}`}>${inert(of.worker_name ?? of.worker_id)}<//>`;
}
