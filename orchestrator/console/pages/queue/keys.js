// Jobs that wait for a concurrency key: none of their tasks is in the queue yet.

import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { inert, plural } from "../../app/text.js";
import { Link } from "../../parts/link.js";

/** The most keys that are asked for. */
const MOST_KEYS = 200;
/** The most keys that are named. */
const NAMED = 3;

/** One line about the jobs that wait for a concurrency key, with a link to those of each; nothing if none does. */
export function KeyWaits() {
  const { data } = useLive(load, [], { every: 5000 });
  if (!data?.jobs) return null;
  const { jobs, named, others, more } = data;
  return html`<p class="help">
    ${more && "At least "}${plural(jobs, "job")} ${jobs === 1 ? "waits" : "wait"} for a concurrency key, and not for a worker yet:
    ${named.map(({ key, waiting }, at) => html`${at > 0 && ","} <${Link} to="/jobs" query=${{ concurrency_key: key, status: "pending" }}>${inert(key)}<//>${jobs > waiting && ` (${waiting})`}`)}
    ${others > 0 && ` and ${plural(others, "other key")}`}
  </p>`;
}

async function load({ signal }) {
  const { data, next } = await get("orchestrator", "/api/v1/concurrency", { query: { limit: MOST_KEYS }, signal });
  return { ...summed(data), more: next !== null };
}

/** How many jobs wait for these keys, those for which most wait, and how many `others` there are. Pure. */
export function summed(keys) {
  const waited = keys.filter(({ waiting }) => waiting > 0).sort((one, other) => other.waiting - one.waiting);
  const jobs = waited.reduce((total, { waiting }) => total + waiting, 0);
  return { jobs, named: waited.slice(0, NAMED), others: Math.max(0, waited.length - NAMED) };
}
