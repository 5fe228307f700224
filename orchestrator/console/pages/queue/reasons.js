// Why tasks wait, for a page of the queue. Tasks with the same needs wait for the same reason (they share a lane in the
// scheduler), so that one of each kind is explained and not every row. No markup here.

/** How many kinds of tasks are explained for one page. */
export const MAX_EXPLAINED = 8;

/** What a task needs, as a key: tasks with the same key wait for the same workers. */
export function needs({ requires, resources }) {
  const labels = Object.keys(requires).sort().map((key) => [key, requires[key]]);
  return JSON.stringify([labels, resources?.cpu_m ?? 0, resources?.memory_mb ?? 0, resources?.gpu ?? 0]);
}

/** Whether a task is not due yet, at `now` in milliseconds. */
export function isDelayed(task, now) {
  return task.run_at != null && Date.parse(task.run_at) > now;
}

/** The tasks to explain: the first of each kind that is due, at most MAX_EXPLAINED. */
export function toExplain(tasks, now) {
  const first = new Map();
  for (const task of tasks) {
    if (!isDelayed(task, now) && !first.has(needs(task))) first.set(needs(task), task);
  }
  return [...first.values()].slice(0, MAX_EXPLAINED);
}

/** The explanations by what their tasks need. Answers that did not come are null, and left out. */
export function byNeeds(tasks, explanations) {
  return new Map(tasks.map((task, at) => [needs(task), explanations[at]]).filter(([, found]) => found != null));
}

/**
 * Why a task waits: `{text, refusals}`. `explained` is the result of `byNeeds`; what is said of the first task of a kind
 * holds for the later ones, apart from their places. `refusals` has what the text does not say yet.
 */
export function reason(task, explained, now) {
  if (isDelayed(task, now)) return { text: "Not due yet", refusals: [] };
  const found = explained.get(needs(task));
  if (found === undefined) return { text: null, refusals: [] };
  const text = sentence(found.summary);
  if (!fits(found)) return { text, refusals: refusals(found, text) };
  return { text: found.task_id === task.task_id ? text : "Waits behind earlier tasks", refusals: [] };
}

function fits({ workers, others = [] }) {
  return workers.some((worker) => worker.fits) || others.some((group) => group.refusal == null);
}

/** Why workers refuse a task, the commonest reason first and those that are offline last: `["2 have no free slot", …]`.
 *  Without those that `told` says. */
export function refusals({ workers, others = [] }, told = "") {
  const counts = new Map();
  const add = (why, count) => {
    if (why == null) return;
    const rule = why.split(": ", 1)[0]; // without its figures, which differ between workers
    counts.set(rule, (counts.get(rule) ?? 0) + count);
  };
  for (const worker of workers) add(worker.refusal, 1);
  for (const group of others) add(group.refusal, group.count);
  const order = ([why, count]) => (why === OFFLINE ? 0 : count);
  return [...counts]
    .filter(([why, count]) => !told.includes(why) && !told.includes(agreeing(count, why)))
    .sort((one, other) => order(other) - order(one))
    .map(([why, count]) => `${count} ${agreeing(count, why)}`);
}

const OFFLINE = "is offline";
const PLURAL = { is: "are", has: "have", lacks: "lack", offers: "offer", accepts: "accept" };

/** What is said of one worker, of several: "is offline" → "are offline". */
function agreeing(count, text) {
  if (count === 1) return text;
  return text.replace(/^\w+|(?<=\band )\w+/g, (verb) => PLURAL[verb] ?? verb);
}

function sentence(summary) {
  const text = summary.replace(/^waits: /, "");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
