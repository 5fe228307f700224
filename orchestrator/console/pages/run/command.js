// The form of a job of one command.
import { html } from "../../app/html.js";
import { INTERPRETER_CHOICES } from "../../parts/interpreters.js";
import { More, Submit, useSending } from "./common.js";
import { Control, useForm } from "./controls.js";
import { commandBody, EMPTY_COMMAND } from "./submission.js";

const NAMES = new Set(Object.keys(EMPTY_COMMAND));
const SECONDS = "In seconds. Empty: no limit.";
const LOST = [["true", "yes"], ["false", "no: it must not run twice"]];

export function CommandForm({ initial }) {
  const state = useForm(initial);
  const read = () => commandBody(state.form);
  const { send, busy, problem } = useSending(state, read, NAMES);
  const onKeyDown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
  };
  return html`<form class="run" noValidate onSubmit=${send} onKeyDown=${onKeyDown}>
    <${Control} state=${state} name="command" label="Command" rows="3" class="code" placeholder="echo hello" autofocus help="Ctrl-Enter runs it." />
    <div class="fields">
      <${Control} state=${state} name="name" label="Name" help="Empty: the beginning of the command." />
      <${Control} state=${state} name="type" label="Interpreter" choices=${INTERPRETER_CHOICES} />
      <${Control} state=${state} name="timeout" label="Time limit" inputmode="decimal" help=${`Of one attempt. ${SECONDS}`} />
      <${Control} state=${state} name="max_attempts" label="Attempts at most" inputmode="numeric" />
    </div>
    <${More} state=${state}>
      ${Number(state.form.max_attempts) > 1 && html`<${Control} state=${state} name="retry_delay" label="Pause before the second attempt" inputmode="decimal" help="In seconds." />`}
      <${Control} state=${state} name="requires" label="Requires" rows="2" placeholder="gpu=yes" help="Labels that the worker must have. One KEY=VALUE a line." />
      <${Control} state=${state} name="queue_timeout" label="Time limit of waiting" inputmode="decimal" help=${`For a worker. ${SECONDS}`} />
      <${Control} state=${state} name="working_dir" label="Working folder" help="On the worker. Empty: a new, empty one." />
      <${Control} state=${state} name="cpu_m" label="CPU" inputmode="numeric" help="In thousandths of a core." />
      <${Control} state=${state} name="memory_mb" label="Memory" inputmode="numeric" help="In MiB." />
      <${Control} state=${state} name="gpu" label="GPUs" inputmode="numeric" />
      <${Control} state=${state} name="retry_on_lost" label="Again if its worker is lost" choices=${LOST} />
    <//>
    <${Submit} ...${{ read, busy, problem }} />
  </form>`;
}
