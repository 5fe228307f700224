// Words for what a job's fields and events state: reasons, exit codes, signals and the events of its timeline. Pure.

/** Linux's signals by number. */
const SIGNALS = [
  "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV",
  "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU",
  "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
];
const SIGRTMIN = 34;
const SIGRTMAX = 64;
const FIRST_OF_SIGNALS = 128;

const REASONS = {
  exit_code: "the command ended with an error",
  signal: "a signal ended the command",
  timeout: "the time limit was over",
  queue_timeout: "no worker took it within its queue_timeout",
  job_timeout: "the job's time limit was over",
  lost: "its worker went away before it reported the end",
  cancelled: "it was cancelled",
  dependency_failed: "a step before it failed",
  dependency_cancelled: "a step before it was cancelled",
  dependency_skipped: "a step before it was skipped",
  not_needed: "it runs only after a failure, and there was none",
  condition: "its condition (if) was false",
  bad_condition: "its condition (if) has no result",
  bad_expression: "an expression of the step has no usable value",
  rejected: "the approval was rejected",
  fail_fast: "another task of its matrix failed",
  cleanup_timeout: "the time for clean-up was over",
  start_failed: "the command could not be started",
  returned: "the worker gave it back before it began",
  worker_stopped: "its worker was stopped while it ran",
  bad_output: "what it wrote to $HODEI_OUTPUT is not valid",
  too_large: "its order is larger than NATS takes",
  superseded: "a newer job with the same concurrency key took its place",
  concurrency_limit: "as many jobs as may run hold its concurrency key",
  fenced: "it was stopped, because it was no longer the current attempt",
};

/** What well-known exit codes mean. */
const EXIT_CODES = {
  126: "the command cannot be executed",
  127: "the command was not found",
};

/** A reason in words; one that this page does not know stays as it is. */
export function reasonInWords(reason) {
  return Object.hasOwn(REASONS, reason) ? REASONS[reason] : String(reason);
}

/** A signal by its name, or null for a number that is not a signal. */
export function signalName(number) {
  if (SIGNALS[number]) return SIGNALS[number];
  if (number === SIGRTMIN) return "SIGRTMIN";
  return number > SIGRTMIN && number <= SIGRTMAX ? `SIGRTMIN+${number - SIGRTMIN}` : null;
}

/** An exit code in a few words: `exit code 3`, or `SIGKILL (9)` where a signal ended the process. */
export function exitInWords(code, reason) {
  if (code === null || code === undefined) return "";
  const name = signalName(code < 0 ? -code : code - FIRST_OF_SIGNALS);
  if (name && (reason === "signal" || code < 0)) return `${name} (${code < 0 ? -code : code - FIRST_OF_SIGNALS})`;
  if (Object.hasOwn(EXIT_CODES, code)) return `exit code ${code}: ${EXIT_CODES[code]}`;
  return name ? `exit code ${code}, as a shell reports ${name}` : `exit code ${code}`;
}

/** Why a job, a task or an execution ended as it did, in one sentence; null where there is nothing to tell. */
export function why({ reason, detail, exit_code: code }) {
  if (!reason) return detail || null;
  if (reason === "signal" && code !== null && code !== undefined) return after(`ended by ${exitInWords(code, reason)}`, detail);
  if (reason === "exit_code" && code) return after(exitInWords(code, reason), detail);
  return after(reasonInWords(reason), detail);
}

function after(words, detail) {
  return detail ? `${words}: ${detail}` : words;
}

/** The name under which a task is shown: `test (3.11, debian)`, or the step's name without a matrix. */
export function titleOf({ name, matrix }) {
  const values = matrix ? Object.values(matrix) : [];
  return values.length ? `${name} (${values.map(String).join(", ")})` : name;
}

/** How an argument is written so that a shell takes it for one. */
function quoted(argument) {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

/** A command as one would type it. */
export function commandText(command) {
  return Array.isArray(command) ? command.map(quoted).join(" ") : command ?? "";
}

const EVENTS = {
  "jobs.created": (data) => ["Job submitted", by(data.created_by)],
  "jobs.waiting": (data) => ["Job waits", data.detail],
  "jobs.admitted": () => ["Job holds its concurrency key, and begins"],
  "jobs.started": () => ["Job started"],
  "jobs.reprioritized": (data) => [`Priority changed from ${data.previous} to ${data.priority}`, by(data.changed_by)],
  "jobs.cancel_requested": (data) => ["Job is to be stopped", by(data.cancelled_by) ?? why(data)],
  "jobs.succeeded": () => ["Job succeeded"],
  "jobs.failed": (data) => ["Job failed", why(data)],
  "jobs.cancelled": (data) => ["Job cancelled", by(data.cancelled_by) ?? why(data)],
  "tasks.queued": (data) => ["Queued", attempt(data)],
  "tasks.scheduled": (data) => ["Placed", on(data)],
  "tasks.expired": () => ["Waited too long for a worker"],
  "tasks.withdrawn": () => ["Taken out of the queue"],
  "tasks.cancel_requested": () => ["Is to be stopped"],
  "tasks.approval_requested": (data) => ["Waits for an approval", data.message],
  "tasks.approved": (data) => ["Approved", decision(data)],
  "tasks.rejected": (data) => ["Rejected", decision(data)],
  "tasks.succeeded": () => ["Succeeded"],
  "tasks.failed": (data) => ["Failed", why(data)],
  "tasks.cancelled": (data) => ["Cancelled", why(data)],
  "tasks.skipped": (data) => ["Skipped", why(data)],
  "tasks.retrying": (data) => [`Attempt ${data.attempt - 1} failed, another follows`, why(data)],
  "executions.started": (data) => ["Started", on(data)],
  "executions.finished": (data) => ["Ended", data.status === "succeeded" ? attempt(data) : why(data)],
  "executions.lost": (data) => ["Lost", data.detail ?? on(data)],
  "executions.returned": (data) => ["Given back by its worker", data.detail],
  "timeline.expired": () => ["The timeline of this job is no longer kept"],
};

/** An event of a timeline in words: `{what, detail}`. A type that this page does not know is shown as it is. */
export function eventInWords({ type, data }) {
  const [what, detail] = Object.hasOwn(EVENTS, type) ? EVENTS[type](data) : [type];
  return { what, detail: detail || null };
}

function by(actor) {
  return actor ? `by ${actor.name}` : null;
}

function on({ worker_name: name, worker_id: id }) {
  return name || id ? `on ${name || id}` : null;
}

function attempt(data) {
  return data.attempt > 1 ? `attempt ${data.attempt}` : null;
}

function decision({ by: named, decided_by: token, comment }) {
  const who = named ?? token?.name;
  return [who && `by ${who}`, comment].filter(Boolean).join(": ");
}
