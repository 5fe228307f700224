// Why a job waits for its concurrency key, or for the former job of its schedule.

import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { inert, shortId } from "../../app/text.js";
import { Link } from "../../parts/link.js";

/** The answer about a job with more tasks than this is large, and asked for seldom. */
const LARGE = 200;

/** One sentence about a job that waits, with links to the jobs that hold the key, and to all jobs with it. */
export function KeyWait({ job }) {
  const load = async ({ signal }) => (await get("orchestrator", `/api/v1/jobs/${job.id}`, { signal })).data.key_wait;
  const { data } = useLive(load, [job.id], { every: job.tasks.length > LARGE ? 30_000 : 5000 });
  const wait = data ?? job.key_wait;
  if (!wait) return html`<span>This job waits: ${inert(job.waiting_for)}.</span>`;
  return html`<span aria-live="polite">This job ${pieces(wait).map((one) => (typeof one === "string" ? inert(one) : html`<${Holder} ...${one} />`))}.
    ${wait.key !== null && html` <${Link} to="/jobs" query=${{ concurrency_key: wait.key }}>All jobs with this key<//>`}
  </span>`;
}

function Holder({ job_id: id, job_name: name }) {
  return html`<${Link} to=${`/jobs/${id}`}>job ${inert(name)} <code>${shortId(id)}</code><//>`;
}

/** The sentence in pieces: texts, and in place of the jobs that it names those of `holders`. Pure. */
export function pieces({ summary, holders }) {
  const found = [];
  let rest = summary;
  for (const one of holders) {
    const [before, ...after] = rest.split(`job ${one.job_id} (${one.job_name})`);
    if (!after.length) continue;
    found.push(before, one);
    rest = after.join(`job ${one.job_id} (${one.job_name})`);
  }
  return [...found, rest].filter((one) => one !== "");
}
