// Jobs for the tests of the job page, as the API answers them.

/** A time, this many milliseconds after the job was submitted. */
export function at(ms) {
  return new Date(Date.UTC(2026, 10, 29, 12) + ms).toISOString();
}

/** A task with these fields. */
export function task(name, fields = {}) {
  return {
    id: `task-${name}-${fields.index ?? 0}`, name, status: "pending", reason: null, detail: null, attempt: 1, depends_on: [],
    when: "on_success", if: null, matrix: null, index: null, type: "shell", command: "true", approval: null, decision: null,
    exit_code: null, outputs: {}, queued_at: null, started_at: null, finished_at: null, executions: [], ...fields,
  };
}

/** A job of these tasks. */
export function job(tasks, fields = {}) {
  return {
    id: "job", name: "job", status: "pending", reason: null, detail: null, priority: "normal", waiting_for: null,
    rerun_of: null, created_at: at(0), started_at: null, finished_at: null, tasks, ...fields,
  };
}

/** An event about a step's only task, or about the job without a step. */
export function event(type, ms, step = null, data = {}) {
  const about = step === null ? {} : { task_id: `task-${step}-0`, attempt: 1 };
  return { id: `1.${ms}`, type, time: at(ms), data: { job_id: "job", ...about, ...data } };
}

/** What an attempt that runs from `started` to `finished` makes of a timeline. */
export function attempt(step, number, { queued, scheduled, started, finished, status = "succeeded", exit_code = 0, reason }) {
  const data = { attempt: number, execution_id: `${step}-${number}`, worker_id: "w", worker_name: "worker" };
  return [
    event("tasks.queued", queued, step, { attempt: number }),
    event("tasks.scheduled", scheduled, step, { ...data, scheduled_at: at(scheduled) }),
    event("executions.started", started, step, { ...data, started_at: at(started) }),
    event("executions.finished", finished, step, {
      ...data, status, exit_code, reason, started_at: at(started), finished_at: at(finished),
    }),
  ];
}
