// What waits for a worker, in the order in which it would run, and why.
import { get } from "../app/api.js";
import { html } from "../app/html.js";
import { useLive } from "../app/live.js";
import { navigate } from "../app/router.js";
import { inert, shortId } from "../app/text.js";
import { now } from "../app/time.js";
import { Empty } from "../parts/empty.js";
import { Filters, filtersOf, Pages } from "../parts/filters.js";
import { PageHead } from "../parts/head.js";
import { Labels } from "../parts/labels.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Table } from "../parts/table.js";
import { Duration, Time } from "../parts/time.js";
import { explained } from "./queue/explained.js";
import { KeyWaits } from "./queue/keys.js";
import { byNeeds, isDelayed, reason, toExplain } from "./queue/reasons.js";
import { amounts } from "./workers/fleet.js";

const FIELDS = [
  { name: "priority", label: "Priority", choices: ["critical", "high", "normal", "low"] },
  { name: "name", label: "Step" },
  { name: "label", label: "Label", hint: "stage=test" },
  { name: "requires", label: "Requires", hint: "gpu=yes" },
];
const COMMAND = "hodei run --requires gpu=yes -- nvidia-smi";

export const title = () => "Queue";

export default function Queue({ query }) {
  const filters = filtersOf(FIELDS, query);
  const load = async ({ signal }) => {
    const { data: tasks, next } = await get("scheduler", "/api/v1/queue", { query: { ...filters, limit: 100 }, signal });
    const asked = toExplain(tasks, now.peek());
    const answers = await Promise.all(asked.map((task) => explained(task, signal)));
    return { tasks, next, why: byNeeds(asked, answers) };
  };
  const { data, error, loading } = useLive(load, [JSON.stringify(filters)], { every: 3000 });
  return html`<${PageHead} title="Queue">Tasks that wait for a worker, in the order in which they would run.<//>
    <${KeyWaits} />
    <${Filters} fields=${FIELDS} query=${query} />
    <${ProblemBox} error=${error} />
    ${data && html`<${Table}
      label="Queue"
      columns=${columns(data.why)}
      rows=${data.tasks}
      keyOf=${(task) => task.task_id}
      onOpen=${(task) => navigate(`/jobs/${task.job_id}`, { query: stepOf(task) })}
      empty=${html`<${Nothing} filtered=${FIELDS.some(({ name }) => query[name])} />`}
    />`}
    ${data && html`<${Pages} query=${query} next=${data.next} />`}
    ${loading && !data && html`<p class="muted">Loading…</p>`}`;
}

function Nothing({ filtered }) {
  if (filtered) return html`<${Empty} text="No waiting task matches these filters." />`;
  return html`<${Empty} text="Nothing waits. A task waits here while no worker can take it, such as one that requires a label that no worker has." command=${COMMAND} />`;
}

const stepOf = (task) => ({ step: task.name, index: task.index });

function columns(why) {
  return [
    { key: "position", title: "#", align: "end" },
    { key: "name", title: "Step", cell: (task) => html`<${Link} to=${`/jobs/${task.job_id}`} query=${stepOf(task)}>${inert(task.name)}<//> <code class="muted">${shortId(task.job_id)}</code>
      ${task.attempt > 1 && html` <span class="muted">attempt ${task.attempt}</span>`}
      ${task.matrix && html` <${Labels} of=${task.matrix} />`}` },
    { key: "why", title: "Why it waits", wide: true, cell: (task) => html`<${Why} ...${{ task, why }} />` },
    { key: "priority", title: "Priority" },
    { key: "needs", title: "Needs", cell: (task) => html`<${Labels} of=${task.requires} /> ${amounts(task.resources)}` },
    { key: "waits", title: "Waits for", align: "end", cell: (task) => html`<${Duration} from=${task.queued_at} />` },
  ];
}

const MOST_REFUSALS = 3;

function Why({ task, why }) {
  if (isDelayed(task, now.value)) return html`Not due before <${Time} at=${task.run_at} />`;
  const { text, refusals } = reason(task, why, now.value);
  if (text === null) return html`<span class="muted">–</span>`;
  const detail = refusals.length > 0 && refusals.slice(0, MOST_REFUSALS).join("; ");
  return html`${inert(text)}${detail && html`<p class="queue-reasons">${inert(detail)}</p>`}`;
}
