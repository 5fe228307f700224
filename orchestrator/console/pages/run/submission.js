// The fields of the page Run, and the body of `POST /api/v1/jobs` that they mean. Pure.

import { readPairs } from "../../app/pairs.js";
import { writePairs } from "./parameters.js";

export const PRIORITIES = ["low", "normal", "high", "critical"];
export const WHEN_FULL = {
  queue: "the job waits",
  cancel_oldest: "the oldest of the others is cancelled",
  cancel_newest: "the job is cancelled",
  reject: "the job is not accepted",
};

/** The fields that every submission has. */
const COMMON = {
  name: "", priority: "normal", labels: "", env: "", run_at: "",
  concurrency_key: "", concurrency_limit: "1", when_full: "queue",
};

export const EMPTY_COMMAND = {
  ...COMMON,
  command: "", type: "shell", requires: "", working_dir: "", timeout: "", queue_timeout: "",
  max_attempts: "1", retry_delay: "1", retry_on_lost: "true",
  cpu_m: "", memory_mb: "", gpu: "",
};
export const EMPTY_PIPELINE = { ...COMMON };

/** What the API takes in the fields of numbers: `{above, least, most, whole}`. A test holds it against the API's document. */
export const BOUNDS = {
  timeout: { above: 0, most: 31_622_400 },
  queue_timeout: { above: 0, most: 31_622_400 },
  max_attempts: { least: 1, most: 100, whole: true },
  retry_delay: { least: 0, most: 86_400 },
  cpu_m: { least: 0, most: 1_000_000, whole: true },
  memory_mb: { least: 0, most: 100_000_000, whole: true },
  gpu: { least: 0, most: 1024, whole: true },
  concurrency_limit: { least: 1, most: 1000, whole: true },
};

/** Which field of the form an error of the API is about, by the first name, or the first two, of its path. */
const FIELD_OF = {
  retry: "max_attempts", "retry.delay": "retry_delay",
  resources: "cpu_m", "resources.memory_mb": "memory_mb", "resources.gpu": "gpu",
  concurrency: "concurrency_limit", "concurrency.when_full": "when_full",
};

class Reader {
  errors = {};
  constructor(form) {
    this.form = form;
  }
  text(name) {
    return this.form[name].trim() || undefined;
  }
  number(name) {
    const text = this.form[name].trim();
    if (!text) return undefined;
    const value = Number(text);
    const fault = faultOf(value, BOUNDS[name]);
    if (fault) this.errors[name] = fault;
    return value;
  }
  pairs(name) {
    const { pairs, error } = readPairs(this.form[name]);
    if (error) this.errors[name] = error;
    return pairs && Object.keys(pairs).length ? pairs : undefined;
  }
  time(name) {
    const text = this.form[name].trim();
    if (!text) return undefined;
    const at = new Date(text);
    if (Number.isNaN(at.getTime())) this.errors[name] = "should be a time";
    return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
  }
}

/** What would be right in place of a number; undefined if it is. */
function faultOf(value, { above, least, most, whole = false }) {
  if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) return whole ? "should be a whole number" : "should be a number";
  if (above !== undefined && value <= above) return `should be greater than ${above}`;
  if (least !== undefined && value < least) return `should be at least ${least}`;
  return value > most ? `should be at most ${most}` : undefined;
}

/** The body for a command: `{body, errors}`. Fields with their defaults are left out. */
export function commandBody(form) {
  const read = new Reader(form);
  const command = form.command;
  if (!command.trim()) read.errors.command = "is required";
  const attempts = read.number("max_attempts") ?? 1;
  const delay = attempts > 1 ? (read.number("retry_delay") ?? 1) : 1; // there is no field for it otherwise
  const resources = compact({
    cpu_m: read.number("cpu_m"),
    memory_mb: read.number("memory_mb"),
    gpu: read.number("gpu"),
  });
  const body = compact({
    command,
    type: form.type === "shell" ? undefined : form.type,
    ...common(read),
    requires: read.pairs("requires"),
    working_dir: read.text("working_dir"),
    timeout: read.number("timeout"),
    queue_timeout: read.number("queue_timeout"),
    retry: attempts > 1 ? compact({ max_attempts: attempts, delay: delay === 1 ? undefined : delay }) : undefined,
    retry_on_lost: form.retry_on_lost === "false" ? false : undefined,
    resources: Object.keys(resources).length ? resources : undefined,
  });
  return { body, errors: read.errors };
}

/** The body for a stored pipeline: `{body, errors}`. */
export function pipelineBody(form, pipelineId, params) {
  const read = new Reader(form);
  if (!pipelineId) read.errors.pipeline = "is required";
  const body = compact({
    pipeline_id: pipelineId || undefined,
    params: Object.keys(params).length ? params : undefined,
    ...common(read),
  });
  return { body, errors: read.errors };
}

function common(read) {
  const { form } = read;
  const key = form.concurrency_key || undefined;
  const limit = key ? (read.number("concurrency_limit") ?? 1) : 1; // there is no field for it otherwise
  const own = key && (limit !== 1 || form.when_full !== "queue");
  return {
    name: read.text("name"),
    priority: form.priority === "normal" ? undefined : form.priority,
    env: read.pairs("env"),
    labels: read.pairs("labels"),
    run_at: read.time("run_at"),
    concurrency_key: key,
    concurrency: own ? { limit, when_full: form.when_full } : undefined,
  };
}

function compact(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** The form that would submit an earlier job again: `{kind, form, params, pipelineId, left}`. `left` names what the API
 *  does not show, such as secrets, and what the form has no field for. `kind` is null for a job of a pipeline that is
 *  not stored: it can be rerun, not changed. `pipeline`: the stored pipeline of the job, whose `env` is not the job's
 *  own. */
export function again(job, pipeline = null) {
  const left = [];
  const pairs = (what, value) => {
    const { text, left: names } = writePairs(value);
    left.push(...names.map((name) => `${what} ${name}`));
    return text;
  };
  const form = {
    ...COMMON,
    name: job.name,
    priority: job.priority,
    labels: pairs("label", job.labels),
    concurrency_key: job.concurrency_key ?? "",
    concurrency_limit: String(job.concurrency?.limit ?? 1),
    when_full: job.concurrency?.when_full ?? "queue",
  };
  if (job.pipeline_id) {
    const own = Object.entries(job.env).filter(([name, value]) => pipeline?.env?.[name] !== value);
    form.env = pairs("variable", Object.fromEntries(own));
    if (job.name === pipeline?.name) form.name = "";
    left.push(...Object.entries(job.params).filter(([, value]) => value === "***").map(([name]) => `parameter ${name}`));
    return { kind: "pipeline", form, params: job.params, pipelineId: job.pipeline_id, left };
  }
  const [task, second] = job.tasks;
  if (!task || second || task.type === "approval" || task.matrix || Object.keys(job.params).length) {
    return { kind: null, form, params: {}, pipelineId: null, left };
  }
  const retry = task.retry ?? {};
  for (const name of ["factor", "max_delay", "jitter", "on_exit_codes"]) {
    if (!isDefault(name, retry[name])) left.push(`retry ${name}`);
  }
  if (task.max_crashes !== 3) left.push("max_crashes");
  const list = Array.isArray(task.command);
  return {
    kind: "command",
    form: {
      ...EMPTY_COMMAND,
      ...form,
      command: list ? listAsText(task.command, task.type) : task.command,
      type: task.type,
      env: pairs("variable", { ...job.env, ...task.env }),
      requires: pairs("requirement", task.requires),
      working_dir: task.working_dir ?? "",
      timeout: numberText(task.timeout),
      queue_timeout: numberText(task.queue_timeout),
      max_attempts: String(retry.max_attempts ?? 1),
      retry_delay: String(retry.delay ?? 1),
      retry_on_lost: String(task.retry_on_lost),
      cpu_m: numberText(task.resources?.cpu_m),
      memory_mb: numberText(task.resources?.memory_mb),
      gpu: numberText(task.resources?.gpu),
    },
    params: {},
    pipelineId: null,
    left,
  };
}

const RETRY = { factor: 2, max_delay: 3600, jitter: true, on_exit_codes: null };

function isDefault(name, value) {
  return value === undefined || value === null || value === RETRY[name];
}

function numberText(value) {
  return value ? String(value) : "";
}

/** A command that is a list, as the one text that means the same: quoted for a shell, or the lines of Python. */
export function listAsText(words, type) {
  if (type === "python") return words.join("\n");
  return words.map(posixQuoted).join(" ");
}

function posixQuoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

/** The errors of a problem document by the field of the form: `{fields, rest}`; `rest` has those of no field. Parameters
 *  are `params.NAME`. */
export function errorsOf(problem, names) {
  const fields = {};
  const rest = [];
  for (const { loc, msg } of problem.errors ?? []) {
    const path = loc[0] === "body" ? loc.slice(1) : loc;
    const name = path[0] === "params" && path.length > 1 ? `params.${path[1]}` : FIELD_OF[path.slice(0, 2).join(".")] ?? FIELD_OF[path[0]] ?? path[0];
    if (names.has(name)) fields[name] ??= path.length > 1 && !name.startsWith("params.") ? `${path.slice(1).join(".")} ${msg}` : msg;
    else rest.push(`${path.join(".")} ${msg}`.trim());
  }
  return { fields, rest };
}
