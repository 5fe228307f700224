// The form of a job of a stored pipeline, made of the parameters that it declares.
import { get } from "../../app/api.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { readPairs } from "../../app/pairs.js";
import { setQuery } from "../../app/router.js";
import { inert, plural, shortId } from "../../app/text.js";
import { Empty } from "../../parts/empty.js";
import { Field } from "../../parts/form.js";
import { Link } from "../../parts/link.js";
import { ProblemBox } from "../../parts/problem.js";
import { More, Submit, useSending } from "./common.js";
import { Control, useForm } from "./controls.js";
import { fieldsOf, valuesOf, writePairs } from "./parameters.js";
import { EMPTY_PIPELINE, pipelineBody } from "./submission.js";

/** Pipelines that the choice lists. */
const LISTED = 200;

/** `chosen`: the id of the pipeline, if one is chosen. `start`: the job that is to be run again, as `again` gives it. */
export function PipelineForm({ start, chosen }) {
  const { data, error } = useLive(({ signal }) => listed(signal), [], { every: 0 });
  if (error) return html`<${ProblemBox} error=${error} />`;
  if (!data) return html`<p class="muted">Loading…</p>`;
  if (!data.pipelines.length && !chosen) {
    return html`<${Empty} text="No pipeline is stored." command="hodei pipelines apply pipeline.yaml" />`;
  }
  return html`
    <${Choice} ...${data} chosen=${chosen} />
    ${chosen && html`<${OfPipeline} key=${chosen} id=${chosen} start=${start} isNamed=${isOnly(data.pipelines, chosen)} />`}
  `;
}

/** Whether the name of this pipeline means no other of the list. */
function isOnly(pipelines, id) {
  const name = pipelines.find((one) => one.id === id)?.name;
  return pipelines.filter((one) => one.name === name).length === 1;
}

async function listed(signal) {
  const { data, next } = await get("orchestrator", "/api/v1/pipelines", { query: { limit: LISTED }, signal });
  const pipelines = [...data].sort((one, other) => one.name.localeCompare(other.name));
  return { pipelines, more: next !== null };
}

function Choice({ pipelines, more, chosen }) {
  const choose = (id) => setQuery({ pipeline: id, kind: "pipeline" });
  const text = ({ id, name }) => inert(isOnly(pipelines, id) ? name : `${name} (${shortId(id)})`);
  const known = !chosen || pipelines.some(({ id }) => id === chosen);
  const help = more && html`The newest ${LISTED}. <${Link} to="/pipelines">All pipelines<//>`;
  return html`<div class="pipeline-choice"><${Field} label="Pipeline" help=${help}>
    <select value=${chosen ?? ""} onChange=${(event) => choose(event.target.value)}>
      <option value="">Choose one</option>
      ${!known && html`<option value=${chosen} selected>${shortId(chosen)}</option>`}
      ${pipelines.map((one) => html`<option key=${one.id} value=${one.id} selected=${one.id === chosen}>${text(one)}</option>`)}
    </select>
  <//></div>`;
}

function OfPipeline({ id, start, isNamed }) {
  const load = ({ signal }) => get("orchestrator", `/api/v1/pipelines/${encodeURIComponent(id)}`, { signal });
  const { data, error } = useLive(load, [id], { every: 0 });
  if (error) return html`<${ProblemBox} error=${error} />`;
  if (!data) return html`<p class="muted">Loading…</p>`;
  const again = start.pipelineId === id ? start : null;
  return html`<${Form} pipeline=${data.data} again=${again} isNamed=${isNamed} />`;
}

function Form({ pipeline, again, isNamed }) {
  const fields = fieldsOf(pipeline.params, again?.params);
  const declares = fields.length > 0;
  const state = useForm({
    ...EMPTY_PIPELINE,
    ...again?.form,
    ...Object.fromEntries(fields.map(({ name, initial }) => [`params.${name}`, initial])),
    params: declares ? "" : writePairs(again?.params).text,
  });
  const read = () => {
    const { params, errors } = declares ? declared(fields, state.form) : free(state.form.params);
    const whole = pipelineBody(state.form, pipeline.id, params);
    return { body: whole.body, errors: { ...whole.errors, ...errors } };
  };
  const names = new Set([...Object.keys(state.form)]);
  const { send, busy, problem } = useSending(state, read, names);
  const older = again?.job && again.job.pipeline_version !== pipeline.version;
  return html`<form class="run" noValidate onSubmit=${send}>
    ${pipeline.description && html`<p class="muted">${inert(pipeline.description)}</p>`}
    ${older && html`<p class="notice">The earlier job ran version ${again.job.pipeline_version}; this one runs version ${pipeline.version}.</p>`}
    <p class="muted">
      <${Link} to=${`/pipelines/${pipeline.id}`}>Version ${pipeline.version}<//>, ${plural(pipeline.steps.length, "step")}.
    </p>
    <div class="fields">
      ${fields.map((field) => html`<${Parameter} key=${field.name} state=${state} field=${field} />`)}
      ${!declares && html`<${Control} state=${state} name="params" label="Parameters" rows="3" help="The pipeline declares none and takes any. One KEY=VALUE a line." />`}
      <${Control} state=${state} name="name" label="Name" help="Empty: the pipeline's name." />
    </div>
    <${More} state=${state} />
    <${Submit} ...${{ read, busy, problem, stored: isNamed && !pipeline.name.startsWith("-") ? pipeline.name : pipeline.id }} />
  </form>`;
}

function declared(fields, form) {
  const texts = Object.fromEntries(fields.map(({ name }) => [name, form[`params.${name}`]]));
  const { params, errors } = valuesOf(fields, texts);
  return { params, errors: Object.fromEntries(Object.entries(errors).map(([name, text]) => [`params.${name}`, text])) };
}

function free(text) {
  const { pairs, error } = readPairs(text);
  return { params: pairs ?? {}, errors: error ? { params: error } : {} };
}

const BOOLEANS = ["true", "false"];

function Parameter({ state, field }) {
  const { name, type, required, help, hidden } = field;
  const choices = type === "boolean" ? BOOLEANS : field.choices;
  const options = choices && [...(field.initial === "" ? [["", required ? "Choose one" : "no value"]] : []), ...choices.map((one) => [one, inert(one)])];
  const notes = [hidden && "It was hidden: give it again.", inert(help)].filter(Boolean).join(" ");
  return html`<${Control}
    state=${state}
    name=${`params.${name}`}
    label=${required ? `${name} (required)` : name}
    help=${notes}
    choices=${options}
    inputmode=${type === "integer" ? "numeric" : type === "number" ? "decimal" : undefined}
  />`;
}
