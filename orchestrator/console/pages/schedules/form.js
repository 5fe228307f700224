// The window with the form of a new schedule.
import { get, post } from "../../app/api.js";
import { useForm } from "../../app/form.js";
import { html } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { navigate } from "../../app/router.js";
import { inert } from "../../app/text.js";
import { Dialog } from "../../parts/dialog.js";
import { Field } from "../../parts/form.js";
import { INTERPRETER_CHOICES } from "../../parts/interpreters.js";
import { ProblemBox } from "../../parts/problem.js";
import { toast } from "../../parts/toast.js";
import { EMPTY, scheduleBody, UNITS } from "./body.js";

const PRIORITIES = ["low", "normal", "high", "critical"];

/** `<NewSchedule onClose=${close}/>`; opens the page of the schedule that it makes. */
export function NewSchedule({ onClose }) {
  const { form, put, set, error, submit, busy, refusal } = useForm(EMPTY, async (filled, here) => {
    const { data } = await post("scheduler", "/api/v1/schedule", { body: scheduleBody(filled) });
    if (here()) navigate(`/schedules/${data.id}`);
    else toast("The schedule is created");
  });
  const bound = { form, set, error };
  return html`<${Dialog} title="New schedule" wide onClose=${onClose}>
    <form class="fleet-form" onSubmit=${submit}>
      <${Text} ...${bound} name="name" label="Name" optional />
      <${What} ...${bound} />
      <${When} ...${bound} />
      <${Rest} ...${bound} put=${put} />
      <${ProblemBox} error=${refusal} />
      <div class="buttons">
        <button type="button" onClick=${onClose}>Close</button>
        <button type="submit" class="primary" disabled=${busy}>Create the schedule</button>
      </div>
    </form>
  <//>`;
}

function Text({ form, set, error, name, label, type = "text", ...others }) {
  const { help, optional, ...attributes } = others;
  return html`<${Field} label=${label} error=${error(name)} help=${help} optional=${optional}>
    <input type=${type} value=${form[name]} onInput=${set(name)} spellcheck=${false} autocomplete="off" ...${attributes} />
  <//>`;
}

function Lines({ form, set, error, name, label, placeholder }) {
  return html`<${Field} label=${label} error=${error(name)} help="One KEY=VALUE a line." optional>
    <textarea rows="2" value=${form[name]} onInput=${set(name)} placeholder=${placeholder} spellcheck=${false} />
  <//>`;
}

function Select({ form, set, error, name, label, choices, help }) {
  return html`<${Field} label=${label} error=${error(name)} help=${help}>
    <select value=${form[name]} onChange=${set(name)}>
      ${choices.map(([value, words]) => html`<option key=${value} value=${value} selected=${form[name] === value}>${words}</option>`)}
    </select>
  <//>`;
}

function What(props) {
  const { form, set, error } = props;
  return html`
    <${Select} ...${props} name="runs" label="Runs" choices=${[["command", "a command"], ["pipeline", "a pipeline"], ["job", "an earlier job again"]]} />
    ${form.runs === "command" && html`
      <${Field} label="Command" error=${error("command")}>
        <textarea rows="2" required value=${form.command} onInput=${set("command")} spellcheck=${false} />
      <//>
      <${Select} ...${props} name="type" label="Interpreter" choices=${INTERPRETER_CHOICES} />`}
    ${form.runs === "pipeline" && html`<${Pipeline} ...${props} />`}
    ${form.runs === "job" && html`<${Text} ...${props} name="job_id" label="Job" help="The id of the job." required />`}`;
}

function Pipeline(props) {
  const load = ({ signal }) => get("orchestrator", "/api/v1/pipelines", { query: { limit: 1000 }, signal });
  const { data, error } = useLive(load, [], { every: 0 });
  if (!data) return html`<${ProblemBox} error=${error} />`;
  if (data.next) return html`<${Text} ...${props} name="pipeline_id" label="Pipeline" help="The id of the pipeline: there are more than 1,000." required />`;
  const choices = [["", "choose one"], ...data.data.map(({ id, name }) => [id, inert(name)])];
  return html`<${Select} ...${props} name="pipeline_id" label="Pipeline" choices=${choices} />`;
}

function When(props) {
  const { form } = props;
  return html`
    <${Select} ...${props} name="fires" label="Fires" choices=${[["cron", "by a line of a crontab"], ["every", "at equal intervals"], ["at", "once, at a time"], ["now", "once, now"]]} />
    ${form.fires === "cron" && html`<div class="fleet-pair">
      <${Text} ...${props} name="cron" label="Line" placeholder="30 2 * * *" required help="Minute, hour, day of the month, month, day of the week; or @hourly, @daily, …" />
      <${Text} ...${props} name="timezone" label="Time zone" help="Such as Europe/Madrid." list="zones" />
      <datalist id="zones">${zones().map((zone) => html`<option key=${zone} value=${zone} />`)}</datalist>
    </div>`}
    ${form.fires === "every" && html`<div class="fleet-pair">
      <${Text} ...${props} name="every" label="Every" inputmode="decimal" required />
      <${Select} ...${props} name="unit" label="Unit" choices=${UNITS} />
    </div>`}
    ${form.fires === "at" && html`<${Text} ...${props} name="run_at" label="Time" type="datetime-local" required help="By this browser's clock." />`}`;
}

const zones = () => ["UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])];

function Rest(props) {
  const { form, error, put } = props;
  const recurs = form.fires === "cron" || form.fires === "every";
  const wrong = ["params", "jitter", "labels"].some((name) => error(name));
  return html`<details open=${wrong || undefined}>
    <summary>More</summary>
    <div class="fleet-form">
      ${recurs && html`
        <div class="fleet-pair"><${Select} ...${props} name="overlap" label="While its former job runs" choices=${[["allow", "both run"], ["skip", "there is no new job"], ["queue", "the new job waits"], ["cancel_previous", "the former job is cancelled"]]} />
        <${Select} ...${props} name="catch_up" label="After an outage" choices=${[["last", "fire once, for the last due time"], ["all", "fire for the due times that were missed"], ["none", "fire for none of them"]]} /></div>
        <${Text} ...${props} name="jitter" label="Delay of up to, in seconds" inputmode="decimal" optional />`}
      ${form.runs !== "command" && html`<${Lines} ...${props} name="params" label="Parameters of its jobs" placeholder="target=x86" />`}
      <${Select} ...${props} name="priority" label="Priority of its jobs" choices=${PRIORITIES.map((one) => [one, one])} />
      <${Lines} ...${props} name="labels" label="Labels of its jobs" placeholder="team=web" />
      ${form.fires !== "now" && html`<label class="fleet-check">
        <input type="checkbox" checked=${form.paused} onChange=${(event) => put({ paused: event.currentTarget.checked })} /> Create it paused
      </label>`}
    </div>
  </details>`;
}
