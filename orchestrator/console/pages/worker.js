// One worker: its slots, labels and capacity, the age of its heartbeat, what runs there; drain, resume, stop, remove.
import { del, get, post } from "../app/api.js";
import { useAct } from "../app/act.js";
import { html } from "../app/html.js";
import { useLive } from "../app/live.js";
import { lacking } from "../app/role.js";
import { navigate } from "../app/router.js";
import { inert, plural, shortId } from "../app/text.js";
import { Copy } from "../parts/copy.js";
import { confirm } from "../parts/dialog.js";
import { Empty } from "../parts/empty.js";
import { Facts } from "../parts/facts.js";
import { Filters, filtersOf, Pages } from "../parts/filters.js";
import { PageHead } from "../parts/head.js";
import { Labels } from "../parts/labels.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Duration, Time } from "../parts/time.js";
import { amounts, workerActions } from "./workers/fleet.js";
import { Heartbeat, Slots } from "./workers/view.js";

const FIELDS = [
  {
    name: "status",
    label: "Status",
    choices: [..."pending running succeeded failed cancelled lost".split(" "), ["timed_out", "timed out"]],
  },
];

export const title = ({ id }) => `Worker ${shortId(id)}`;

export default function Worker({ params: { id }, query }) {
  const path = `/api/v1/workers/${encodeURIComponent(id)}`;
  const filters = filtersOf(FIELDS, query);
  const load = async ({ signal }) => {
    const [[worker, process], executions] = await Promise.all([
      views(path, signal),
      get("worker_manager", "/api/v1/executions", { query: { ...filters, worker_id: id, limit: 50 }, signal }),
    ]);
    return { worker, process, executions: executions.data, more: executions.next };
  };
  const { data, error, refresh } = useLive(load, [id, JSON.stringify(filters)]);
  const doing = useAct(refresh);
  if (!data) return html`<${PageHead} title="Worker" /><${ProblemBox} error=${error} />`;
  const { worker, process, executions, more } = data;
  const shown = worker ?? process;
  return html`<${PageHead} title=${inert(shown.name)} actions=${html`<${Actions} ...${{ path, worker, process, ...doing }} />`}>
      <div class="fleet-line"><${Status} of=${shown.status} />${worker && html`<${Slots} of=${worker} />`}</div>
    <//>
    <${ProblemBox} error=${doing.error ?? error} />
    ${worker?.reason && html`<p class="tone-failed">${inert(worker.reason)}</p>`}
    <${About} ...${{ worker, process }} />
    <h2>Executions</h2>
    <${Filters} fields=${FIELDS} query=${query} />
    <${Table} label="Executions" columns=${COLUMNS} rows=${executions} onOpen=${(row) => navigate(`/jobs/${row.job_id}`)}
      empty=${html`<${Empty} text=${query.status ? "No execution has this status." : "Nothing has run there yet."} />`} />
    <${Pages} query=${query} next=${more} />`;
}

/** The worker as the scheduler sees it, and its process as the worker manager does. Raises a Problem if neither knows it. */
async function views(path, signal) {
  const asked = ["scheduler", "worker_manager"].map((service) => get(service, path, { signal }));
  const answers = await Promise.allSettled(asked);
  const failed = answers.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
  const worst = failed.find(({ status }) => status !== 404) ?? (failed.length === 2 ? failed[0] : null);
  if (worst !== null) throw worst;
  return answers.map(({ value }) => value?.data ?? null);
}

const END = "worker_manager DELETE /api/v1/workers/{id}";

function Actions({ path, worker, process, act, busy }) {
  const can = workerActions(worker, process);
  const name = inert((worker ?? process).name);
  const placed = worker?.busy ? `${plural(worker.busy, "execution")} placed there` : "what runs there";
  const button = (text, call, onClick, danger = false) =>
    html`<button type="button" class=${danger ? "danger" : ""} disabled=${busy} onClick=${onClick} ...${lacking(call)}>${text}</button>`;
  const asking = (question, call, done) => async () => {
    if (await confirm({ danger: true, ...question })) await act(call, done);
  };
  const drain = () => act(() => post("scheduler", `${path}/drain`), "The worker gets no new work");
  const resume = () => act(() => post("scheduler", `${path}/resume`), "The worker gets work again");
  const stop = asking(
    { title: `Stop ${name}?`, text: "It finishes what runs there, takes nothing new, and its process ends.", action: "Stop the worker" },
    () => del("worker_manager", path),
    "The worker ends when it has finished what it runs",
  );
  const kill = asking(
    { title: `Stop ${name} at once?`, text: `Its process ends now; ${placed} is lost and queued again.`, action: "Stop it at once" },
    () => del("worker_manager", path, { query: { force: true } }),
    "The worker is stopped",
  );
  const remove = asking(
    { title: `Remove ${name}?`, text: "It leaves the list, a running agent ends, and its credentials are revoked.", action: "Remove the worker" },
    async (here) => {
      await del("scheduler", path);
      if (here()) navigate("/workers");
    },
    "The worker is removed",
  );
  return html`
    ${can.drain && button("Drain", "scheduler POST /api/v1/workers/{id}/drain", drain)}
    ${can.resume && button("Resume", "scheduler POST /api/v1/workers/{id}/resume", resume)}
    ${can.stop && button("Stop", END, stop, true)} ${can.kill && button("Stop at once", END, kill, true)}
    ${can.remove && button("Remove", "scheduler DELETE /api/v1/workers/{id}", remove, true)}`;
}

function About({ worker, process }) {
  const { id, type, labels } = worker ?? process;
  const facts = [
    ["Heartbeat", worker && html`<${Heartbeat} of=${worker} />`],
    ["Capacity", amounts(worker?.capacity)],
    ["Labels", Object.keys(labels).length > 0 && html`<${Labels} of=${labels} />`],
    ["Type", inert(type)],
    ["Drained", worker?.drained && (worker.drained_by ? `by ${inert(worker.drained_by.name)}` : "over REST")],
    ["Reserved for", worker?.reserved_for && html`task <code>${shortId(worker.reserved_for)}</code>`],
    ["Agent", worker && !worker.has_agent && "none: it gets no work"],
    ["Registered", worker && html`<${Time} at=${worker.registered_at} />`],
    ["Process", process && html`<${Process} ...${process} />`],
    ["Id", html`<code title=${id}>${shortId(id)}</code> <${Copy} text=${id} label="Copy the id" />`],
  ];
  return html`<${Facts} of=${facts} />`;
}

function Process({ status, pid, exit_code: code, detail, stop_requested: stop, created_by: by }) {
  const over = status === "stopped" || status === "failed";
  const parts = [
    !over && pid != null && `process ${pid}`,
    !over && stop && (stop === "force" ? "is stopped at once" : "stops when its executions have ended"),
    code != null && `exit code ${code}`,
    detail && inert(detail),
    by && `started by ${inert(by.name)}`,
  ];
  return html`<div class="fleet-line"><${Status} of=${status} /><span>${parts.filter(Boolean).join(", ")}</span></div>`;
}

const COLUMNS = [
  { key: "job", title: "Job", cell: (row) => html`<${Link} to=${`/jobs/${row.job_id}`}>${shortId(row.job_id)}<//>` },
  { key: "status", title: "Status", cell: (row) => html`<${Status} of=${row.status} reason=${row.reason} />` },
  { key: "attempt", title: "Attempt", align: "end" },
  { key: "started", title: "Started", cell: (row) => html`<${Time} at=${row.started_at} />` },
  { key: "took", title: "Took", align: "end", cell: (row) => html`<${Duration} from=${row.started_at} to=${row.finished_at} />` },
  { key: "code", title: "Exit code", align: "end", cell: (row) => row.exit_code ?? "–" },
  { key: "detail", title: "Details", wide: true, cell: (row) => inert(row.detail ?? "") },
];
