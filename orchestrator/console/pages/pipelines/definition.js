// A pipeline as the text of its file: without what the API adds, and without the fields that have their defaults. Pure.

import { toYaml } from "./yaml.js";

const PIPELINE = {
  name: undefined, description: null, env: {}, params: {}, timeout: null, cleanup_timeout: 60, concurrency_key: null,
  concurrency: null,
};
const STEP = {
  depends_on: [], when: "on_success", if: null, allow_failure: false, labels: {},
  command: undefined, type: "shell", message: "", env: {}, working_dir: null, timeout: null, queue_timeout: null,
  retry: null, retry_on_lost: true, max_crashes: 3, requires: {}, resources: null, matrix: null, inputs: {},
};
const PARAM = { type: "string", default: null, required: false, choices: null, pattern: null, description: null };
const RETRY = { max_attempts: 1, delay: 1, factor: 2, max_delay: 3600, jitter: true, on_exit_codes: null };
const RESOURCES = { cpu_m: 0, memory_mb: 0, gpu: 0 };
const MATRIX = { include: [], exclude: [], max_parallel: null, fail_fast: true };

/** The text of a pipeline's file, which `hodei pipelines apply` takes. */
export function pipelineText(pipeline) {
  const fields = onlyChanged(pipeline, PIPELINE);
  if (fields.params) fields.params = eachOf(fields.params, (one) => onlyChanged(one, PARAM));
  if (pipeline.steps.length) fields.steps = stepsOf(pipeline.steps);
  return toYaml(fields);
}

/** The steps as a map by name; as a list where a name is a number, whose place among the keys an object does not keep. */
function stepsOf(steps) {
  const written = steps.map(stepFields);
  if (steps.some(({ name }) => /^\d+$/.test(name))) return written.map((step, at) => ({ name: steps[at].name, ...step }));
  return Object.fromEntries(written.map((step, at) => [steps[at].name, step]));
}

function stepFields(step) {
  const fields = onlyChanged(step, STEP);
  if (fields.retry) fields.retry = onlyChanged(fields.retry, RETRY);
  if (fields.resources) fields.resources = onlyChanged(fields.resources, RESOURCES);
  if (fields.inputs) fields.inputs = eachOf(fields.inputs, (one) => onlyChanged(one, PARAM));
  if (fields.matrix) {
    const axes = Object.entries(fields.matrix).filter(([name]) => !(name in MATRIX));
    fields.matrix = { ...Object.fromEntries(axes), ...onlyChanged(fields.matrix, MATRIX) };
  }
  return fields;
}

/** The fields that these defaults name and that have other values, in the order of the defaults. */
function onlyChanged(given, defaults) {
  const kept = Object.keys(defaults).filter(
    (name) => given[name] !== undefined && !isSame(given[name], defaults[name]),
  );
  return Object.fromEntries(kept.map((name) => [name, given[name]]));
}

function isSame(value, other) {
  if (value === null || typeof value !== "object") return value === other;
  return typeof other === "object" && other !== null && !Object.keys(value).length && !Object.keys(other).length;
}

function eachOf(map, change) {
  return Object.fromEntries(Object.entries(map).map(([name, value]) => [name, change(value)]));
}
