// The bars of a job's timeline: when each attempt waited, was placed and ran. Pure; times are milliseconds.
//
// The times come from several machines, whose clocks may differ. How long a command ran is from one clock and is kept;
// what came before is fitted to its start, so that no part of a bar is negative or overlaps another.

const ENDS = new Set(["succeeded", "failed", "cancelled", "timed_out", "lost"]);

/** The bars by task id: `{attempt, execution, worker, status, reason, exit_code, waiting, placed, running}` each, the
 *  last three as `[from, to]`, null for a part that it did not reach, and `to` null while it lasts. */
export function barsOf(job, events) {
  const found = new Map(job.tasks.map((task) => [task.id, []]));
  for (const event of events) {
    const bars = found.get(event.data.task_id);
    if (bars) note(bars, event);
  }
  for (const task of job.tasks) {
    const bars = found.get(task.id);
    if (!bars.length) bars.push(...withoutEvents(task));
    const over = task.finished_at ?? job.finished_at;
    const ends = [...bars.slice(1).map(startOf), over ? Date.parse(over) : null];
    bars.forEach((bar, place) => fit(bar, ends[place]));
  }
  return found;
}

function empty(attempt) {
  return {
    attempt, execution: null, worker: null, status: null, reason: null, exit_code: null, waiting: null, placed: null,
    running: null, ended: null,
  };
}

function note(bars, { type, time, data }) {
  const at = Date.parse(time);
  let bar = bars.at(-1);
  const begin = () => {
    bar = empty(data.attempt);
    bars.push(bar);
    return bar;
  };
  const ofExecution = () =>
    bars.find((one) => one.execution === data.execution_id) ?? (bar && bar.execution === null ? bar : begin());
  switch (type) {
    case "tasks.queued":
      begin().waiting = [data.run_at ? Math.max(at, Date.parse(data.run_at)) : at, null];
      break;
    case "tasks.approval_requested":
      begin().waiting = [at, null];
      break;
    case "tasks.scheduled": {
      const one = ofExecution();
      const moment = Date.parse(data.scheduled_at ?? time);
      one.waiting ??= [end(bars.at(-2)) ?? moment, null]; // given back by a worker, and placed again
      one.placed = [moment, null];
      Object.assign(one, { execution: data.execution_id, worker: data.worker_name ?? data.worker_id, status: "scheduled" });
      break;
    }
    case "executions.started": {
      const one = ofExecution();
      Object.assign(one, { execution: data.execution_id, worker: data.worker_name ?? data.worker_id, status: "running" });
      one.running = [Date.parse(data.started_at), null];
      break;
    }
    case "executions.finished":
    case "executions.lost": {
      const one = ofExecution();
      const moment = Date.parse(data.finished_at ?? data.lost_at ?? time);
      if (!one.running && data.started_at) one.running = [Date.parse(data.started_at), null];
      if (one.running) one.running[1] = moment;
      Object.assign(one, {
        execution: data.execution_id, status: data.status ?? "lost", reason: data.reason ?? null,
        exit_code: data.exit_code ?? null,
      });
      break;
    }
    case "tasks.succeeded":
    case "tasks.failed":
    case "tasks.cancelled":
      if (bar && !ENDS.has(bar.status)) {
        Object.assign(bar, { status: type.slice("tasks.".length), reason: data.reason ?? null, ended: at });
      }
      break;
    default:
  }
}

function startOf(bar) {
  return (bar.waiting ?? bar.placed ?? bar.running ?? [null])[0];
}

function end(bar) {
  return bar ? (bar.running ?? bar.placed ?? bar.waiting ?? [null, null])[1] : null;
}

/** What the task itself tells, for a timeline that is no longer kept and for tasks that a rerun kept. */
function withoutEvents(task) {
  const bars = task.executions.map((one) => ({
    ...empty(one.attempt),
    execution: one.id, worker: one.worker_name ?? one.worker_id, status: one.status, reason: one.reason,
    exit_code: one.exit_code,
    running: one.started_at ? [Date.parse(one.started_at), one.finished_at ? Date.parse(one.finished_at) : null] : null,
  }));
  const last = bars.at(-1);
  if (last && task.queued_at && last.running) last.waiting = [Date.parse(task.queued_at), last.running[0]];
  if (!last && task.status === "queued" && task.queued_at) {
    bars.push({ ...empty(task.attempt), waiting: [Date.parse(task.queued_at), null] });
  }
  return bars;
}

/** Make the parts of a bar follow each other; an end that is not known is `next`, which follows, or null while it lasts. */
function fit(bar, next) {
  const last = bar.ended ?? next;
  if (bar.running) {
    const [from, to] = bar.running;
    const until = to ?? (ENDS.has(bar.status) ? last : null);
    bar.running = [from, until === null ? null : Math.max(from, until)];
    bar.placed = bar.placed && [Math.min(bar.placed[0], from), from];
  } else if (bar.placed) {
    bar.placed = [bar.placed[0], last === null ? null : Math.max(bar.placed[0], last)];
  }
  if (bar.waiting) {
    const to = (bar.placed ?? bar.running ?? [last])[0];
    bar.waiting = [to === null ? bar.waiting[0] : Math.min(bar.waiting[0], to), to];
  }
}

/** From when to when a timeline reaches: the job's submission to its end, or to `now`, with all bars in it. Tasks that
 *  were kept from an earlier job are outside. */
export function extentOf(job, bars, now) {
  const from = Date.parse(job.created_at);
  let to = job.finished_at ? Date.parse(job.finished_at) : now;
  for (const [, ofTask] of bars) {
    for (const bar of ofTask) to = Math.max(to, end(bar) ?? to);
  }
  return [from, Math.max(to, from + 1)];
}

const [SECOND, MINUTE, HOUR] = [1000, 60_000, 3_600_000];
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), ...[1, 2, 3, 6, 12, 24].map((n) => n * HOUR),
];

/** Round places on a scale of this many milliseconds: at most `most` after its zero. */
export function ticksOf(span, most = 6) {
  const day = STEPS.at(-1);
  const step = STEPS.find((one) => span / one <= most) ?? Math.ceil(span / most / day) * day;
  const ticks = [];
  for (let at = 0; at <= span; at += step) ticks.push(at);
  return ticks;
}

/** A tick as text, in the unit of the scale: `200 ms`, `5 s`, `2 min`, `3 h`, `1 d`. */
export function tickText(ms, span) {
  if (ms === 0) return "0";
  if (span < 2 * SECOND) return `${ms} ms`;
  if (span < 2 * MINUTE) return `${ms / SECOND} s`;
  if (span < 2 * HOUR) return `${ms / MINUTE} min`;
  return ms % (24 * HOUR) === 0 ? `${ms / (24 * HOUR)} d` : `${ms / HOUR} h`;
}

/** A span with room for what is to come, so that the scale of a running job changes seldom. */
export function roomy(span) {
  let room = 5 * SECOND;
  while (room < span * 1.02) room *= 1.3;
  return Math.round(room);
}
