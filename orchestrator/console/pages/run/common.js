// What the forms of the page Run share: fields of every submission, the submission as text, and sending it.
import { post } from "../../app/api.js";
import { pageTitle, useHere } from "../../app/here.js";
import { html, useState } from "../../app/html.js";
import { ofAction } from "../../app/problem.js";
import { lacking } from "../../app/role.js";
import { navigate } from "../../app/router.js";
import { session } from "../../app/session.js";
import { Copy } from "../../parts/copy.js";
import { ProblemBox } from "../../parts/problem.js";
import { failed, toast } from "../../parts/toast.js";
import { Control } from "./controls.js";
import { errorsOf, PRIORITIES, WHEN_FULL } from "./submission.js";
import { asCli, asCurl } from "./texts.js";

const PAIRS = "One KEY=VALUE a line.";

/** The fields that are seldom needed; those of one kind of submission are the children. */
export function More({ state, children }) {
  const { form } = state;
  return html`<details class="more" open=${form.labels !== "" || form.env !== "" || undefined}>
    <summary>More settings</summary>
    <div class="fields">
      <${Control} state=${state} name="labels" label="Labels" rows="2" help=${`For finding the job. ${PAIRS}`} placeholder="team=web" />
      <${Control} state=${state} name="env" label="Environment" rows="2" help=${`Variables of its processes. ${PAIRS}`} placeholder="LANG=C.UTF-8" />
      <${Control} state=${state} name="priority" label="Priority" choices=${PRIORITIES.map((one) => [one, one])} />
      <${Control} state=${state} name="run_at" label="Not before" type="datetime-local" step="1" help="Your local time. Empty: at once." />
      ${children}
      <${Control} state=${state} name="concurrency_key" label="Concurrency key" help="Jobs with the same key limit each other." />
      ${form.concurrency_key && html`
        <${Control} state=${state} name="concurrency_limit" label="Jobs of this key at once" inputmode="numeric" />
        <${Control} state=${state} name="when_full" label="If that many run" choices=${Object.entries(WHEN_FULL)} />
      `}
    </div>
  </details>`;
}

/** Sending a form: `{send, busy, problem}`. `read()` gives `{body, errors}`; a job that was accepted is opened, unless the form
 *  was left. */
export function useSending(state, read, names) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const here = useHere();
  const send = async (event) => {
    event.preventDefault();
    const { body, errors } = read();
    state.setErrors(errors);
    setProblem(null);
    if (Object.keys(errors).length) return focusFirst(event.currentTarget ?? event.target);
    const page = pageTitle();
    setBusy(true);
    try {
      const { data } = await post("orchestrator", "/api/v1/jobs", { body });
      if (here()) navigate(`/jobs/${data.id}`);
      else toast("The job was submitted");
    } catch (raised) {
      const error = ofAction(raised);
      if (!here()) return failed(page, error);
      const { fields, rest } = errorsOf(error, names);
      state.setErrors(fields);
      setProblem(rest.length || !Object.keys(fields).length ? error : null);
      setBusy(false);
    }
    return undefined;
  };
  return { send, busy, problem };
}

function focusFirst(form) {
  setTimeout(() => {
    const wrong = form.querySelectorAll('[aria-invalid="true"]');
    for (const field of wrong) field.closest("details")?.setAttribute("open", "");
    wrong[0]?.focus();
  });
}

/** The button that submits, what went wrong, and the submission as text. */
export function Submit({ read, busy, problem, stored }) {
  return html`
    <${ProblemBox} error=${problem} />
    <p class="buttons"><button type="submit" class="primary" disabled=${busy} ...${lacking("orchestrator POST /api/v1/jobs")}>${busy ? "Submitting…" : "Run"}</button></p>
    <${AsText} body=${read().body} stored=${stored} />
  `;
}

function AsText({ body, stored }) {
  if (body.command === "" || (body.command === undefined && body.pipeline_id === undefined)) return null;
  const base = document.baseURI.replace(/\/$/, "");
  const cli = asCli(stored ? { ...body, pipeline_id: stored } : body);
  const curl = asCurl(base, body, { access: session.value !== "off" });
  return html`<section class="as-text" aria-label="The same as text">
    <h2>The same on the command line <${Copy} text=${cli.text} label="Copy the command" /></h2>
    <pre tabindex="0">${cli.text}</pre>
    ${cli.missing.length > 0 && html`<p class="help">The command line has no option for ${cli.missing.join(", ")}.</p>`}
    <h2>The same as curl <${Copy} text=${curl} label="Copy the request" /></h2>
    <pre tabindex="0">${curl}</pre>
  </section>`;
}
