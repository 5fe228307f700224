// A job as the page holds it: the API's answer, brought up to date by the events of its timeline. Pure.
//
// An answer has everything, but is large; events are small, and come at once. They bring the statuses, times and
// executions; outputs, decisions and details come with the next answer. An event that the answer already contains
// changes nothing: within an attempt a task only moves forward, and an earlier attempt's events are late.

const RANK = { pending: 0, queued: 1, scheduled: 2, running: 3, succeeded: 4, failed: 4, cancelled: 4, skipped: 4 };
const OVER = new Set(["succeeded", "failed", "cancelled", "skipped", "timed_out", "lost"]);
/** The events after which the job has something that events do not carry. */
const INCOMPLETE = new Set([
  "tasks.succeeded", "tasks.failed", "tasks.cancelled", "tasks.skipped", "tasks.approved", "tasks.rejected",
  "tasks.cancel_requested", "jobs.waiting", "jobs.admitted", "jobs.succeeded", "jobs.failed", "jobs.cancelled", "jobs.cancel_requested",
]);

/** Whether a job, a task or an execution has ended. */
export function isOver({ status }) {
  return OVER.has(status);
}

/** Whether an answer has to be asked for to know all of what this event changed. */
export function needsAnswer({ type }) {
  return INCOMPLETE.has(type);
}

/** The job after these events of its timeline. Tasks that do not change keep their identity. */
export function apply(job, events) {
  if (!events.length) return job;
  const changed = new Map();
  const places = new Map(job.tasks.map((task, place) => [task.id, place]));
  let head = job;
  for (const event of events) {
    const { task_id: id } = event.data;
    if (id === undefined) {
      head = appliedToJob(head, event);
    } else if (places.has(id)) {
      const task = changed.get(id) ?? job.tasks[places.get(id)];
      const next = appliedToTask(task, event);
      if (next !== task) changed.set(id, next);
    }
  }
  if (!changed.size) return head;
  return { ...head, tasks: job.tasks.map((task) => changed.get(task.id) ?? task) };
}

function appliedToJob(job, { type, time, data }) {
  if (isOver(job)) return job;
  switch (type) {
    case "jobs.started":
      return job.status === "running" ? job : { ...job, status: "running", started_at: job.started_at ?? time };
    case "jobs.waiting":
      return job.status === "pending" ? { ...job, waiting_for: data.detail } : job;
    case "jobs.admitted":
      return { ...job, waiting_for: null };
    case "jobs.cancel_requested":
      return { ...job, stopping: data.reason ?? "cancelled" };
    case "jobs.reprioritized":
      return { ...job, priority: data.priority };
    case "jobs.succeeded":
    case "jobs.failed":
    case "jobs.cancelled": {
      const { reason = null, detail = null, started_at = job.started_at, finished_at } = data;
      return { ...job, status: type.slice("jobs.".length), reason, detail, started_at, finished_at, stopping: null };
    }
    default:
      return job;
  }
}

function appliedToTask(task, { type, time, data }) {
  if (isOver(task) || data.attempt < task.attempt) return task;
  const to = (status, rest = {}) =>
    RANK[status] > RANK[task.status] || data.attempt > task.attempt ? { ...task, ...rest, status, attempt: data.attempt } : task;
  switch (type) {
    case "tasks.queued":
      return to("queued", { queued_at: data.run_at ?? time, started_at: null, reason: null, detail: null, exit_code: null });
    case "tasks.scheduled":
      return withExecution(to("scheduled"), data, { status: "pending" });
    case "tasks.approval_requested":
      return to("running", { started_at: time });
    case "executions.started":
      return withExecution(to("running", { started_at: data.started_at }), data, {
        status: "running",
        started_at: data.started_at,
      });
    case "executions.finished":
      return withExecution(task, data, endOf(data));
    case "executions.lost":
      return withExecution(task, data, { status: "lost", reason: data.reason ?? "lost", detail: data.detail, finished_at: data.lost_at });
    case "tasks.succeeded":
    case "tasks.failed":
    case "tasks.cancelled":
    case "tasks.skipped": {
      const last = task.executions.at(-1);
      const { reason = null, detail = null, exit_code = last?.exit_code ?? null } = data;
      return to(type.slice("tasks.".length), { reason, detail, exit_code, finished_at: last?.finished_at ?? time });
    }
    default:
      return task;
  }
}

function endOf({ status, reason = null, detail = null, exit_code = null, started_at = null, finished_at }) {
  return { status, reason, detail, exit_code, started_at, finished_at };
}

/** The task with these fields in the execution that the event is about, which is added if it is not known. */
function withExecution(task, { execution_id: id, attempt, worker_id = null, worker_name = null }, fields) {
  const known = task.executions.find((one) => one.id === id);
  if (known && (isOver(known) || known.status === fields.status || fields.status === "pending")) return task;
  const before = known ?? {
    id, attempt, worker_id, worker_name, status: "pending", reason: null, detail: null, exit_code: null, started_at: null,
    finished_at: null,
  };
  const next = { ...before, ...fields };
  return {
    ...task,
    executions: known ? task.executions.map((one) => (one === known ? next : one)) : [...task.executions, next],
  };
}

/** The steps of a job in their order, each with its tasks: several where it has a matrix. */
export function stepsOf(job) {
  const steps = new Map();
  for (const task of job.tasks) {
    const step = steps.get(task.name);
    if (step) step.tasks.push(task);
    else steps.set(task.name, { name: task.name, needs: task.depends_on, matrix: task.matrix !== null, tasks: [task] });
  }
  return [...steps.values()];
}

/** The most telling first: what a group of tasks as a whole is. */
const TELLING = ["failed", "running", "scheduled", "queued", "pending", "cancelled", "succeeded", "skipped"];

/** One status for several tasks: failed if one is, running while one runs, and so on. */
export function statusOf(tasks) {
  const found = new Set(tasks.map((task) => task.status));
  return TELLING.find((status) => found.has(status)) ?? "pending";
}

/** How many tasks have each status, the most telling first: `[["failed", 2], ["succeeded", 254]]`. */
export function countsOf(tasks) {
  const counts = new Map();
  for (const { status } of tasks) counts.set(status, (counts.get(status) ?? 0) + 1);
  return TELLING.filter((status) => counts.has(status)).map((status) => [status, counts.get(status)]);
}

/** Whether the task is an approval that waits for a decision. */
export function asks(task) {
  return task.type === "approval" && task.status === "running";
}

/** Whether the task was kept from the job that this one repeats. */
export function isKept(job, task) {
  return job.rerun_of !== null && task.finished_at !== null && Date.parse(task.finished_at) < Date.parse(job.created_at);
}

/** Which of the steps the page's address names: `{step, task}`, where `task` is null for a whole matrix; null for nothing. */
export function selected(steps, { step: name, index }) {
  const step = steps.find((one) => one.name === name);
  if (!step) return null;
  if (!step.matrix) return { step, task: step.tasks[0] };
  return { step, task: step.tasks.find((task) => String(task.index) === index) ?? null };
}

/** The part of the page's address that names a task. */
export function addressOf(task) {
  return { step: task.name, index: task.index === null ? null : String(task.index), attempt: null };
}

/** The next entry for which `wanted` is true, after the one at `place` (-1: none is chosen), and round the end; null if
 *  there is none. */
export function nextOf(entries, place, wanted = () => true, direction = 1) {
  const count = entries.length;
  const from = place < 0 && direction < 0 ? 0 : place;
  for (let step = 1; step <= count; step += 1) {
    const entry = entries[(from + direction * step + count * 2) % count];
    if (wanted(entry)) return entry;
  }
  return null;
}

/** A set without this entry, or with it if it was not there. */
export function toggled(set, entry) {
  const next = new Set(set);
  if (!next.delete(entry)) next.add(entry);
  return next;
}
