// Now: what runs, what waits and why, what failed, and how the platform is.
import { get } from "../app/api.js";
import { html } from "../app/html.js";
import { useLive } from "../app/live.js";
import { allows } from "../app/role.js";
import { count, inert, plural, shortId } from "../app/text.js";
import { formatTime, now } from "../app/time.js";
import { Empty } from "../parts/empty.js";
import { PageHead } from "../parts/head.js";
import { Icon } from "../parts/icon.js";
import { Link } from "../parts/link.js";
import { ProblemBox } from "../parts/problem.js";
import { Slots } from "../parts/slots.js";
import { Status } from "../parts/status.js";
import { Throughput } from "../parts/throughput.js";
import { Time } from "../parts/time.js";
import { commonest } from "./now/waiting.js";
import { dayBefore, STEP } from "./now/window.js";
import { workersThere } from "./now/workers.js";
import { explained } from "./queue/explained.js";
import { KeyWaits } from "./queue/keys.js";
import { byNeeds, toExplain } from "./queue/reasons.js";

export const title = () => "Now";

const MOST_WORKERS = 12;
const MOST_TASKS = 200;
const SERVICES = [
  ["orchestrator", "Orchestrator"],
  ["scheduler", "Scheduler"],
  ["worker_manager", "Worker manager"],
];

export default function Now() {
  const counts = useLive(loadCounts, []);
  const failed = useLive(({ signal }) => get("orchestrator", "/api/v1/jobs", { query: { status: "failed", limit: 5 }, signal }), [], { every: 5000 });
  const waiting = useLive(loadWaiting, [], { every: 5000 });
  const workers = useLive(workersThere, [], { every: 3000 });
  const sums = counts.data && totals(counts.data.buckets);
  const since = counts.data?.since ?? dayBefore(now.peek());
  const day = formatTime(since, { seconds: false });
  return html`<${PageHead} title="Now" actions=${allows("orchestrator POST /api/v1/jobs") && html`<${Link} to="/run" class="button primary"><${Icon} name="run" /> Run a command<//>`} />
    <${ProblemBox} error=${counts.data ? null : counts.error} retry=${counts.refresh} />
    <section class="tiles" aria-label="Jobs">
      <${Tile} to="/jobs" query=${{ status: "running" }} tone="running" label="Running" number=${counts.data?.counts.running} />
      <${Tile} to="/queue" tone="waiting" label="Waiting for a worker" number=${waiting.data?.number} more=${waiting.data?.more}>
        ${waiting.data?.reason && html`<span class="why">${inert(waiting.data.reason)}</span>`}
      <//>
      <${Tile} to="/jobs" query=${{ status: "failed", finished_after: since }} tone="failed" label=${`Failed since ${day}`} number=${sums?.failed} />
      <${Tile} to="/jobs" query=${{ status: "succeeded", finished_after: since }} tone="succeeded" label=${`Succeeded since ${day}`} number=${sums?.succeeded} />
    </section>
    <${KeyWaits} />
    ${counts.data?.total === 0 && html`<${Empty} text="No job has run here yet." command="hodei run -- echo hello" />`}
    <div class="now-columns">
      <section class="card" aria-labelledby="now-throughput">
        <h2 id="now-throughput">Jobs that ended, per half hour</h2>
        ${counts.data && html`<${Throughput} buckets=${counts.data.buckets} step=${STEP} />`}
      </section>
      <section class="card" aria-labelledby="now-workers">
        <h2 id="now-workers"><${Link} to="/workers">Workers<//></h2>
        <${Workers} live=${workers} />
      </section>
      <section class="card" aria-labelledby="now-failed">
        <h2 id="now-failed">Failed last</h2>
        <${Failed} live=${failed} />
      </section>
      <section class="card" aria-labelledby="now-parts">
        <h2 id="now-parts">Parts of the platform</h2>
        <ul class="parts">${SERVICES.map(([name, label]) => html`<${Part} key=${name} name=${name} label=${label} />`)}</ul>
      </section>
    </div>`;
}

function Tile({ to, query, tone, label, number, more, children }) {
  const calm = !number || tone === "succeeded" ? "" : `tone-${tone}`;
  return html`<${Link} to=${to} query=${query} class="tile">
    <span class="label">${label}</span>
    <span class=${`value ${calm}`}>${number === undefined ? "–" : count(number)}${more ? "+" : ""}</span>
    ${children}
  <//>`;
}

function Workers({ live }) {
  if (!live.data) return live.error ? html`<${ProblemBox} error=${live.error} />` : null;
  const { workers, more } = live.data;
  if (workers.length === 0) return html`<${Empty} text="No worker is online: jobs wait." command="hodei worker" />`;
  return html`<ul class="slot-list">
    ${workers.slice(0, MOST_WORKERS).map(
      (one) => html`<li key=${one.id}>
        <${Link} to=${`/workers/${one.id}`}>${inert(one.name || shortId(one.id))}<//>
        ${one.status !== "online" && html`<${Status} of=${one.status} />`}
        <${Slots} busy=${one.busy} slots=${one.slots} />
      </li>`,
    )}
  </ul>
  ${workers.length > MOST_WORKERS && html`<p class="help">and ${more ? "at least " : ""}${plural(workers.length - MOST_WORKERS, "other worker")}</p>`}`;
}

function Failed({ live }) {
  if (!live.data) return live.error ? html`<${ProblemBox} error=${live.error} />` : null;
  if (live.data.data.length === 0) return html`<p class="muted">Nothing has failed.</p>`;
  return html`<ul class="lines">
    ${live.data.data.map(
      (job) => html`<li key=${job.id}>
        <${Link} to=${`/jobs/${job.id}`}>${inert(job.name || shortId(job.id))}<//>
        <${Status} of=${job.status} reason=${job.reason} />
        <${Time} at=${job.finished_at} relative />
      </li>`,
    )}
  </ul>`;
}

function Part({ name, label }) {
  const { data, error } = useLive(({ signal }) => health(name, signal), [], { every: 10_000 });
  const down = Object.entries(data?.checks ?? {}).filter(([, state]) => state !== "up");
  return html`<li>
    <span>${label}</span>
    ${error ? html`<${Status} of="unhealthy" reason="no answer" />` : data && html`<${Status} of=${data.status} reason=${down.map(([part]) => `${part} is down`).join(", ")} />`}
    <span class="muted">${data && !error ? data.version : ""}</span>
  </li>`;
}

// An unhealthy service answers 503 with the same document.
async function health(name, signal) {
  try {
    return (await get(name, "/health", { signal })).data;
  } catch (error) {
    if (error.document?.checks) return error.document;
    throw error;
  }
}

async function loadCounts({ signal }) {
  const since = dayBefore(now.peek());
  const [counts, throughput] = await Promise.all([
    get("orchestrator", "/api/v1/jobs/counts", { signal }),
    get("orchestrator", "/api/v1/jobs/throughput", { query: { since, step: STEP }, signal }),
  ]);
  return { ...counts.data, since, buckets: throughput.data.buckets };
}

function totals(buckets) {
  const sum = (key) => buckets.reduce((total, one) => total + one[key], 0);
  return { failed: sum("failed"), succeeded: sum("succeeded") };
}

async function loadWaiting({ signal }) {
  const { data, next } = await get("scheduler", "/api/v1/queue", { query: { limit: MOST_TASKS }, signal });
  const asked = toExplain(data, now.peek());
  const known = byNeeds(asked, await Promise.all(asked.map((one) => explained(one, signal))));
  return { number: data.length, more: next !== null, reason: commonest(data, known, now.peek()) };
}
