// What workers are and what can be done to them, from the two services' views. No markup here.
// The scheduler knows every worker; the worker manager knows those that it started.

/** How long ago the last heartbeat was: `{age, late}` in milliseconds; `age` is null before the first one. It is late after
 * half a `lease`, which is in milliseconds, too. */
export function heartbeat({ last_heartbeat: last, status }, now, lease) {
  if (last == null) return { age: null, late: false };
  const age = Math.max(0, now - Date.parse(last));
  return { age, late: status !== "offline" && age > lease / 2 };
}

/** Slots as `{busy, total, share}`; `busy` may exceed `total` by executions that are placed in advance. */
export function slots({ busy, slots: total }) {
  return { busy, total, share: total > 0 ? Math.min(1, busy / total) : 0 };
}

/** The slots of all workers that take work: `{busy, total}`. */
export function fleetSlots(workers) {
  const on = workers.filter(({ status }) => status === "online");
  return { busy: sum(on, "busy"), total: sum(on, "slots") };
}

function sum(rows, field) {
  return rows.reduce((total, row) => total + row[field], 0);
}

/** Capacity or needs in words: `2 CPUs, 4 GiB, 1 GPU`; null where there are none. */
export function amounts(resources) {
  if (resources == null) return null;
  const { cpu_m: cpu, memory_mb: memory, gpu } = resources;
  const words = [
    cpu ? `${cpu / 1000} ${cpu === 1000 ? "CPU" : "CPUs"}` : null,
    memory ? (memory >= 1024 ? `${Math.round((memory / 1024) * 10) / 10} GiB` : `${memory} MiB`) : null,
    gpu ? `${gpu} ${gpu === 1 ? "GPU" : "GPUs"}` : null,
  ];
  return words.filter(Boolean).join(", ") || null;
}

/** Whether the worker manager has a process of this worker that is not over. */
function runsHere(process) {
  return process != null && !["stopped", "failed"].includes(process.status);
}

/**
 * Which actions a worker can take. `drain` and `resume` are the scheduler's. `stop` and `kill` end a process that the worker
 * manager started; `remove` takes any other worker from the list.
 */
export function workerActions(worker, process) {
  const managed = runsHere(process);
  const there = worker != null && worker.status !== "offline";
  return {
    drain: there && !worker.drained && worker.status !== "draining",
    resume: worker != null && worker.drained,
    stop: managed && process.stop_requested == null,
    kill: managed && process.stop_requested !== "force",
    remove: worker != null && !managed && (!there || worker.busy === 0),
  };
}

/** How long a process that failed is shown among the workers, in milliseconds. */
const FAILED_SHOWN = 24 * 3600 * 1000;

/** The worker manager's processes that are no workers of the list `shown`: those that start, and those that failed in the
 * last day. */
export function notListed(processes, shown, now) {
  const ids = new Set(shown.map(({ id }) => id));
  const recent = ({ status, stopped_at: end, created_at: begin }) => status === "starting" || now - Date.parse(end ?? begin) < FAILED_SHOWN;
  return processes.filter((one) => ["starting", "failed"].includes(one.status) && recent(one) && !ids.has(one.id));
}
