// What a text in the search box asks for. Pure.

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const SHORT = /^[0-9a-f]{8}$/i;

/** The kinds of things that the search finds, in the order in which they are shown. */
export const KINDS = [
  { kind: "job", title: "Jobs", service: "orchestrator", list: "/api/v1/jobs", page: "/jobs", short: true },
  { kind: "pipeline", title: "Pipelines", service: "orchestrator", list: "/api/v1/pipelines", page: "/pipelines" },
  { kind: "schedule", title: "Schedules", service: "scheduler", list: "/api/v1/scheduled", page: "/schedules" },
  { kind: "worker", title: "Workers", service: "scheduler", list: "/api/v1/workers", page: "/workers" },
];

const MOST = 10;

const PAGE = 1000;

/** The calls that find things of one kind: `[{path, query, ends}]`. An id asks for that one thing, 8 hexadecimal digits for a
 * short id as well, and anything else for names that begin so. A list that has no filter for short ids is read, for those
 * whose id `ends` so. */
export function callsFor(text, { list, short }) {
  const wanted = text.trim().replace(/\*+$/, "");
  if (wanted === "") return [];
  if (ID.test(wanted)) return [{ path: `${list}/${wanted.toLowerCase()}`, query: {} }];
  const calls = [{ path: list, query: { name: `${wanted}*`, limit: MOST } }];
  if (SHORT.test(wanted)) {
    const ends = wanted.toLowerCase();
    calls.unshift(short ? { path: list, query: { short_id: ends, limit: MOST } } : { path: list, query: { limit: PAGE }, ends });
  }
  return calls;
}

/** Whether the text can only be an id, so that its one hit is opened at once. */
export const isId = (text) => ID.test(text.trim()) || SHORT.test(text.trim());
