// An approval that waits: what it asks, the inputs that it takes, and the two decisions.

import { html, useState } from "../../app/html.js";
import { lacking } from "../../app/role.js";
import { inert } from "../../app/text.js";
import { confirm } from "../../parts/dialog.js";
import { Field } from "../../parts/form.js";
import { Icon } from "../../parts/icon.js";
import { Time } from "../../parts/time.js";
import { controlOf, givenOf, helpOf, initialOf } from "./inputs.js";

export function Approval({ task, actions }) {
  const { message, inputs, timeout } = task.approval;
  const [values, setValues] = useState(() => initialOf(inputs));
  const [comment, setComment] = useState("");
  const { busy } = actions;
  const error = actions.errorOf(task);
  const told = comment.trim() ? { comment: comment.trim() } : {};
  // Both ask first: a decision is final, and Enter in a field is not one.
  const decide = async (approves, given) => {
    const words = approves ? "Approve" : "Reject";
    const title = `${words} ${inert(task.name)}?`;
    const sure = await confirm({ title, text: "The decision is final.", action: `${words} the step`, danger: !approves });
    if (sure) actions.decide(task, approves, given);
  };
  const approve = (event) => {
    event.preventDefault();
    decide(true, { ...told, inputs: givenOf(inputs, values) });
  };
  const until = timeout && task.started_at ? new Date(Date.parse(task.started_at) + timeout * 1000).toISOString() : null;
  return html`<form class="job-approval" aria-label=${`Approval ${inert(task.name)}`} onSubmit=${approve}>
    <p class="job-question"><${Icon} name="pause" /> <strong>${inert(message || `${task.name} waits for an approval.`)}</strong></p>
    ${until && html`<p class="muted">Without a decision it fails at <${Time} at=${until} />.</p>`}
    <div class="job-inputs">
      ${Object.entries(inputs).map(
        ([name, spec]) => html`<${Input} key=${name} ...${{ name, spec }} value=${values[name]}
          error=${error?.fieldError(`inputs.${name}`)} change=${(value) => setValues((old) => ({ ...old, [name]: value }))} />`,
      )}
      <${Field} label="Comment" optional=${true}>
        <input type="text" maxlength="2000" value=${comment} onInput=${(event) => setComment(event.target.value)} />
      <//>
    </div>
    <div class="buttons">
      <button type="submit" class="primary" disabled=${busy} ...${lacking("orchestrator POST /api/v1/tasks/{id}/approve")}>Approve</button>
      <button type="button" class="danger" disabled=${busy} onClick=${() => decide(false, told)} ...${lacking("orchestrator POST /api/v1/tasks/{id}/reject")}>Reject</button>
    </div>
  </form>`;
}

function Input({ name, spec, value, error, change }) {
  const kind = controlOf(spec);
  const optional = kind === "text" && !spec.required && !spec.default;
  return html`<${Field} label=${inert(name)} error=${error} help=${inert(helpOf(spec))} optional=${optional}>
    ${CONTROLS[kind]({ spec, value, change })}
  <//>`;
}

const CONTROLS = {
  select: ({ spec, value, change }) => html`<select required=${spec.required} onChange=${(event) => change(event.target.value)}>
    ${value === "" && html`<option value="" selected>Choose …</option>`}
    ${(spec.choices ?? []).map((one) => html`<option key=${one} value=${one} selected=${one === value}>${inert(one)}</option>`)}
  </select>`,
  checkbox: ({ value, change }) =>
    html`<input type="checkbox" checked=${value} onChange=${(event) => change(event.target.checked)} />`,
  number: ({ value, change, spec }) => textInput({ value, change, spec, inputmode: "decimal" }),
  text: ({ value, change, spec }) => textInput({ value, change, spec }),
};

function textInput({ value, change, spec, inputmode }) {
  const onInput = (event) => change(event.target.value);
  return html`<input type="text" required=${spec.required} ...${{ inputmode, value, onInput }} />`;
}
