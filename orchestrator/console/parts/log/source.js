// Where logs come from: the job's route, asked for one execution.
import { get } from "../../app/api.js";
import { fetched } from "../../app/fetched.js";
import { addressOf } from "../../app/platform.js";
import { queryText } from "../../app/router.js";
import { session } from "../../app/session.js";
import { problemOf } from "../../app/problem.js";

const SERVICE = "orchestrator";
const pathOf = (job) => `/api/v1/jobs/${encodeURIComponent(job.id)}/logs`;

/** A function that reads lines of an execution's log: `read(query, {signal})`. Raises a Problem. "As curl" shows the
 * first call of each kind: the log, and searches. */
export function readerOf(job, execution) {
  const path = pathOf(job);
  const made = new Set();
  return async (query, { signal } = {}) => {
    const kind = JSON.stringify({ ...query, from_line: null, limit: null });
    const options = { query: { execution_id: execution.id, ...query }, signal, noted: !made.has(kind) };
    made.add(kind);
    return (await get(SERVICE, path, options)).data;
  };
}

/** The address of the raw log, for a browser that needs no bearer. */
export function rawAddress(job, execution) {
  const url = addressOf(SERVICE, pathOf(job));
  url.search = queryText({ execution_id: execution.id, download: true });
  return url;
}

/** Whether a plain link gets the raw log: with access on, a request needs the page's bearer. */
export const linksWork = () => session.value === "off";

/** Save the raw log under the name that the service gives it. Raises a Problem. */
export async function save(job, execution) {
  const response = await fetched(SERVICE, rawAddress(job, execution), { method: "GET", headers: {} });
  if (!response.ok) throw await problemOf(response);
  const name = /filename="([^"]*)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "log.txt";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
