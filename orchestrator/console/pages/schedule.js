// One schedule: when it fires, in its zone and in the reader's; what it did; pause, resume, run now, remove.
import { del, get, post } from "../app/api.js";
import { useAct } from "../app/act.js";
import { html } from "../app/html.js";
import { useLive } from "../app/live.js";
import { lacking } from "../app/role.js";
import { navigate } from "../app/router.js";
import { inert, plural, shortId } from "../app/text.js";
import { zone } from "../app/time.js";
import { Copy } from "../parts/copy.js";
import { confirm } from "../parts/dialog.js";
import { Empty } from "../parts/empty.js";
import { Facts } from "../parts/facts.js";
import { Pages } from "../parts/filters.js";
import { PageHead } from "../parts/head.js";
import { Labels } from "../parts/labels.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Duration, Time } from "../parts/time.js";
import { Runs } from "./schedules/runs.js";
import { actions, called, cause, onOutage, onOverlap, outcomeDetail, wallClock } from "./schedules/words.js";

const NEXT = 5;

export const title = ({ id }) => `Schedule ${shortId(id)}`;

export default function Schedule({ params: { id }, query }) {
  const path = `/api/v1/scheduled/${encodeURIComponent(id)}`;
  const load = async ({ signal }) => {
    const [schedule, next, history] = await Promise.all([
      get("scheduler", path, { signal }),
      get("scheduler", `${path}/next`, { query: { count: NEXT }, signal }).catch(noTimes),
      get("scheduler", `${path}/history`, { query: { limit: 25, cursor: query.cursor }, signal }),
    ]);
    return { schedule: schedule.data, next: next.data, history: history.data, more: history.next };
  };
  const { data, error, refresh } = useLive(load, [id, query.cursor]);
  const doing = useAct(refresh);
  if (!data) return html`<${PageHead} title="Schedule" /><${ProblemBox} error=${error} />`;
  const { schedule, next, history, more } = data;
  return html`<${PageHead} title=${inert(called(schedule))} actions=${html`<${Actions} ...${{ schedule, path, ...doing }} />`}>
      <div class="fleet-line">
        <${Status} of=${schedule.status} /><span>${schedule.description ?? html`Once, <${Time} at=${schedule.run_at ?? schedule.created_at} />`}</span>
      </div>
    <//>
    <${ProblemBox} error=${doing.error ?? error} />
    ${schedule.last_error && html`<p class="tone-failed">When it last fired, there was no job: ${inert(schedule.last_error)}</p>`}
    <${About} schedule=${schedule} />
    <h2>Next times</h2>
    <${NextTimes} ...${{ schedule, next }} />
    <h2>History</h2>
    <${Table} label="History" columns=${HISTORY} rows=${history} onOpen=${(row) => row.job_id && navigate(`/jobs/${row.job_id}`)}
      empty=${html`<${Empty} text="It has not fired yet." command=${`hodei schedules trigger ${shortId(id)}`} />`} />
    <${Pages} query=${query} next=${more} />`;
}

/** A schedule whose times an upgrade made invalid has none, which its `last_error` explains. */
function noTimes(error) {
  if (error.status === 409) return { data: [] };
  throw error;
}

function Actions({ schedule, path, act, busy }) {
  const can = actions(schedule.status);
  const button = (verb, text, done) => html`<button type="button" disabled=${busy}
    onClick=${() => act(() => post("scheduler", `${path}/${verb}`), done)} ...${lacking(`scheduler POST /api/v1/scheduled/{id}/${verb}`)}>${text}</button>`;
  const remove = async () => {
    const text = "It does not fire any more, and its history is deleted. Its jobs stay.";
    if (!(await confirm({ title: `Remove ${inert(called(schedule))}?`, text, action: "Remove the schedule", danger: true }))) return;
    await act(async (here) => {
      await del("scheduler", path);
      if (here()) navigate("/schedules");
    }, "The schedule is removed");
  };
  return html`
    ${button("trigger", "Run now", "The schedule fires now")}
    ${can.pause && button("pause", "Pause", "The schedule is paused")}
    ${can.resume && button("resume", "Resume", "The schedule fires again")}
    <button type="button" class="danger" disabled=${busy} onClick=${remove} ...${lacking("scheduler DELETE /api/v1/scheduled/{id}")}>Remove</button>`;
}

function About({ schedule }) {
  const { cron, timezone, every, start, end, jitter, priority, params, env, labels, concurrency_key: key, missed } = schedule;
  const pairs = (values) => Object.keys(values).length > 0 && html`<${Labels} of=${values} />`;
  const facts = [
    ["Runs", html`<${Runs} schedule=${schedule} />`],
    ["Line", cron && html`<code>${inert(cron)}</code>`],
    ["Time zone", cron && inert(timezone)],
    ["Interval", every && plural(every, "second")],
    ["From", start && html`<${Time} at=${start} />`],
    ["Until", end && html`<${Time} at=${end} />`],
    ["Delay of up to", jitter > 0 && plural(jitter, "second")],
    ["While its former job runs", onOverlap(schedule)],
    ["After an outage", onOutage(schedule)],
    ["Due times missed", missed > 0 && String(missed)],
    ["Priority", priority !== "normal" && priority],
    ["Concurrency key", key && html`<code>${inert(key)}</code>`],
    ["Parameters", pairs(params)],
    ["Environment", pairs(env)],
    ["Labels", pairs(labels)],
    ["Created", html`<${Time} at=${schedule.created_at} />${schedule.created_by && ` by ${inert(schedule.created_by.name)}`}`],
    ["Id", html`<code title=${schedule.id}>${shortId(schedule.id)}</code> <${Copy} text=${schedule.id} label="Copy the id" />`],
  ];
  return html`<${Facts} of=${facts} />`;
}

function NextTimes({ schedule, next }) {
  if (next.length === 0) return html`<p class="muted">It has no due time left.</p>`;
  const theirs = schedule.timezone ?? "UTC";
  const mine = zone.value === "utc" ? "UTC" : "Your time";
  const columns = [
    { key: "in", title: "When", cell: ({ utc }) => html`<${Time} at=${utc} relative />` },
    ...(schedule.cron === null ? [] : [{ key: "local", title: inert(theirs), cell: ({ local }) => wallClock(local) }]),
    { key: "utc", title: mine, cell: ({ utc }) => html`<${Time} at=${utc} />` },
  ];
  return html`${schedule.status === "paused" && html`<p class="muted">If it were resumed now:</p>`}
    <${Table} label="Next times" columns=${columns} rows=${next} keyOf=${({ utc }) => utc} />`;
}

const HISTORY = [
  { key: "due", title: "Due", cell: (row) => html`<${Time} at=${row.due_at} />` },
  { key: "outcome", title: "Result", cell: (row) => html`<${Status} of=${row.outcome} />` },
  { key: "job", title: "Job", cell: (row) => (row.job_id ? html`<${Link} to=${`/jobs/${row.job_id}`}>${shortId(row.job_id)}<//>` : "–") },
  { key: "took", title: "Took", align: "end", cell: (row) => (row.job_id ? html`<${Duration} from=${row.fired_at} to=${row.finished_at} />` : "–") },
  { key: "cause", title: "Why", cell: (row) => inert(cause(row)) },
  { key: "detail", title: "Details", wide: true, cell: (row) => inert(outcomeDetail(row) ?? "") },
];
