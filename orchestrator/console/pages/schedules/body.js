// The form of a schedule, and the request that it stands for. No markup here.

import { readPairs } from "../../app/pairs.js";

/** The form as it is first shown. */
export const EMPTY = {
  name: "", runs: "command", command: "", type: "shell", pipeline_id: "", job_id: "",
  fires: "cron", cron: "", timezone: "UTC", every: "", unit: "60", run_at: "",
  overlap: "allow", catch_up: "last", jitter: "", params: "", priority: "normal", labels: "", paused: false,
};

/** Units of an interval: `[seconds, word]`. */
export const UNITS = [["1", "seconds"], ["60", "minutes"], ["3600", "hours"], ["86400", "days"]];

/**
 * The body of `POST /api/v1/schedule`. Fields that do not apply, or have their default, are absent.
 * Throws a TypeError whose `field` names what cannot be read.
 */
export function scheduleBody(form) {
  return { ...what(form), ...when(form), ...rest(form) };
}

function what({ runs, command, type, pipeline_id: pipeline, job_id: job }) {
  if (runs === "pipeline") return { pipeline_id: pipeline.trim() };
  if (runs === "job") return { job_id: job.trim() };
  return type === "shell" ? { command } : { command, type };
}

function when(form) {
  switch (form.fires) {
    case "cron":
      return { cron: form.cron.trim(), timezone: form.timezone.trim() || "UTC", ...recurrence(form) };
    case "every":
      return { every: number(form.every, "every") * Number(form.unit), ...recurrence(form) };
    case "at":
      return { run_at: moment(form.run_at), ...(form.paused ? { paused: true } : {}) };
    default:
      return {};
  }
}

function recurrence({ overlap, catch_up: policy, jitter, paused }) {
  return {
    ...(overlap === "allow" ? {} : { overlap }),
    ...(policy === "last" ? {} : { catch_up: policy }),
    ...(jitter.trim() === "" ? {} : { jitter: number(jitter, "jitter") }),
    ...(paused ? { paused: true } : {}),
  };
}

function rest({ runs, name, params, priority, labels }) {
  const given = runs === "command" ? {} : lines(params, "params");
  const read = lines(labels, "labels");
  return {
    ...(Object.keys(given).length === 0 ? {} : { params: given }),
    ...(name.trim() === "" ? {} : { name: name.trim() }),
    ...(priority === "normal" ? {} : { priority }),
    ...(Object.keys(read).length === 0 ? {} : { labels: read }),
  };
}

function lines(text, field) {
  const { pairs, error } = readPairs(text);
  if (error) throw wrong(field, error);
  return pairs;
}

function number(text, field) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw wrong(field, "a number is needed");
  return value;
}

/** The time that a `datetime-local` field means, which is of this browser's time zone. */
function moment(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) throw wrong("run_at", "a date and a time are needed");
  return at.toISOString();
}

function wrong(field, text) {
  return Object.assign(new TypeError(text), { field });
}
