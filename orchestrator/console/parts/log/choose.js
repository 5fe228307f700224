// Which step's log, and which attempt's, the page shows. Pure.

/** A task's name for people, with the values of its matrix: `test (linux, 3.12)`. */
export function titleOf({ name, matrix }) {
  return matrix ? `${name} (${Object.values(matrix).join(", ")})` : name;
}

/** What an address says about a task, and one attempt of it: its step, and its place in the step's matrix. */
export const addressOf = ({ name, index }, attempt = null) => ({ step: name, index: index ?? null, attempt, lanes: null });

/** The task that an address names; undefined if it names none. */
export function taskNamed(tasks, step, index) {
  const named = tasks.filter((one) => one.name === step);
  return named.find((one) => String(one.index) === String(index)) ?? named[0];
}

/** The task to show if none is named: the first that failed, else the first that runs, else the last that has run. */
export function taskToShow(tasks) {
  const begun = tasks.filter((one) => attemptsOf(one).length > 0);
  const failed = begun.find((one) => one.status === "failed" && !one.allow_failure);
  return failed ?? begun.find((one) => one.status === "running") ?? begun.at(-1) ?? tasks[0];
}

/** The last execution of each attempt of a task: an attempt that a worker gives back continues as another one. */
export function attemptsOf({ executions }) {
  const last = new Map();
  for (const one of executions ?? []) last.set(one.attempt, one);
  return [...last.values()].sort((one, other) => one.attempt - other.attempt);
}

/** The execution of a task to show: that of the attempt that is named, else the newest; undefined if there is none. */
export function executionToShow(task, attempt) {
  const all = attemptsOf(task);
  return all.find((one) => String(one.attempt) === String(attempt)) ?? all.at(-1);
}

/** Whether a log is opened at its end: there is what a running command does, and why another one failed. */
export const opensAtEnd = ({ status }) => status !== "succeeded";

/** The most steps that are shown side by side. */
export const MOST_LANES = 12;

/** The tasks that are shown side by side, in the order of the steps. If there are too many, those that run or failed
 * come before others. */
export function lanesOf(tasks) {
  const begun = tasks.filter((task) => executionToShow(task));
  const urgent = begun.filter(({ status }) => status === "running" || status === "failed");
  const chosen = new Set([...new Set([...urgent, ...begun])].slice(0, MOST_LANES));
  return begun.filter((task) => chosen.has(task));
}
