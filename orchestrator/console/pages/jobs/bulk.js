// Actions on many jobs: what they are called, and how they go on in batches until all are done. Pure but for `send`.

/** Jobs of one request: as many as a rerun takes. */
const BATCH = 100;

const OPEN = ["pending", "running"];
const OVER = ["succeeded", "failed", "cancelled"];

/** `statuses`: of which jobs it is. */
export const ACTIONS = {
  cancel: {
    verb: "Cancel", done: "cancelled", statuses: OPEN,
    text: "What runs is stopped. Jobs that are over, or being stopped already, stay as they are.",
  },
  rerun: {
    verb: "Rerun", done: "started again", statuses: OVER,
    text: "Each becomes a new job of the same definition. Jobs that still run are left out.",
  },
  delete: {
    verb: "Delete", done: "deleted", statuses: OVER, danger: true,
    text: "They are deleted with their logs, for ever. Jobs that still run are left out.",
  },
};

/** Those of the jobs that an action is about. */
export function fitting(action, jobs) {
  return jobs.filter((job) => !job.gone && ACTIONS[action].statuses.includes(job.status));
}

/** The filters of an action on all that match at this time (ms): jobs that come while it goes on are left out. */
export function pinned(filters, now) {
  const before = Date.parse(filters.created_before ?? "") || now;
  return { ...filters, created_before: new Date(Math.min(now, before)).toISOString() };
}

/** The question before an action: `{title, text, action}`. `more`: there may be more than `matched`. */
export function question(action, matched, more) {
  const { verb, text, danger } = ACTIONS[action];
  const what = `${written(matched)}${more ? " or more" : ""} ${matched === 1 && !more ? "job" : "jobs"}`;
  return { title: `${verb} ${what}?`, text, action: `${verb} ${what}`, danger: Boolean(danger) };
}

/** Carry an action out. `send(body)` posts one batch and returns its answer `{done, refused, cursor}`; `chosen` is `{ids}`
 *  or `{filter}`. `onProgress(total)` is called after each batch; `stopped()` ends it between two. Returns the total: `{done,
 *  refused, why, stopped, error, rest}`, with the number of jobs that were refused, and why the first was. `error` is what
 *  ended it before the rest: what was done until then is done. `rest` is the batch that was to come next, null at the end;
 *  with the total as `before`, the action goes on there. */
export async function carryOut(chosen, { send, onProgress, stopped = () => false, before = null }) {
  const total = { done: 0, refused: 0, why: null, ...before, stopped: false, error: null, rest: null };
  for (let body = before?.rest ?? first(chosen); body; ) {
    try {
      const answer = await send(body);
      total.done += answer.done;
      total.refused += answer.refused.length;
      total.why ??= answer.refused[0]?.detail ?? null;
      body = after(chosen, body, answer);
    } catch (error) {
      return { ...total, error, rest: body };
    }
    onProgress?.({ ...total });
    if (body && stopped()) return { ...total, stopped: true, rest: body };
  }
  return total;
}

function first({ ids, filter }) {
  return ids ? { ids: ids.slice(0, BATCH) } : { filter, limit: BATCH };
}

/** The batch after another one, or null after the last. */
function after({ ids }, body, { cursor }) {
  if (cursor) return { ...body, cursor };
  if (!ids) return null;
  const next = ids.indexOf(body.ids[body.ids.length - 1]) + 1;
  return next < ids.length ? { ids: ids.slice(next, next + BATCH) } : null;
}

/** How far an action is, in words. `counted`: how many jobs it is about, `{matched, more}`. */
export function progress(action, { done, refused }, { matched, more }) {
  return `${ACTIONS[action].verb}: ${written(done + refused)} of ${written(matched)}${more ? " or more" : ""} jobs…`;
}

/** What was done and what is left, in words. */
export function outcome(action, { done, refused, why, stopped, error }, { matched, more }) {
  const { done: word } = ACTIONS[action];
  const left = matched - done - refused;
  const rest = left > 0 ? `${written(left)}${more ? " or more" : ""} of ${written(matched)} left` : "some left";
  const parts = [`${written(done)} ${done === 1 ? "job" : "jobs"} ${word}`];
  if (refused) parts.push(`${written(refused)} refused: ${why}`);
  if (stopped) parts.push(`stopped with ${rest}`);
  if (error) parts.push(`then an error came, with ${rest}`);
  return parts.join("; ");
}

/** A number as questions and answers write it. */
const written = (number) => number.toLocaleString("en");
