// The window with the form of a new worker.
import { post } from "../../app/api.js";
import { useForm } from "../../app/form.js";
import { html } from "../../app/html.js";
import { navigate } from "../../app/router.js";
import { inert } from "../../app/text.js";
import { Dialog } from "../../parts/dialog.js";
import { Field } from "../../parts/form.js";
import { ProblemBox } from "../../parts/problem.js";
import { toast } from "../../parts/toast.js";
import { EMPTY, workerBody } from "./body.js";

const FIELDS = [
  { name: "name", label: "Name" },
  { name: "type", label: "Type", placeholder: "default" },
  { name: "labels", label: "Labels", placeholder: "zone=north, gpu=yes" },
  { name: "slots", label: "Slots", inputmode: "numeric", help: "How many executions it runs at once." },
  { name: "cpu", path: "capacity.cpu_m", label: "CPUs", inputmode: "decimal", help: "By default, those of the machine." },
  { name: "memory", path: "capacity.memory_mb", label: "Memory in MiB", inputmode: "numeric", help: "By default, that of the machine." },
  { name: "gpu", path: "capacity.gpu", label: "GPUs", inputmode: "numeric" },
];

/** `<NewWorker onClose=${close}/>`; starts a worker on the worker manager's machine, and opens its page. */
export function NewWorker({ onClose }) {
  const { form, set, submit, busy, error, refusal } = useForm(EMPTY, async (filled, here) => {
    const { data } = await post("worker_manager", "/api/v1/workers", { body: workerBody(filled) });
    if (here()) navigate(`/workers/${data.id}`);
    else toast(`The worker ${inert(data.name)} is started`);
  });
  return html`<${Dialog} title="Start a worker" onClose=${onClose}>
    <form class="fleet-form" onSubmit=${submit}>
      <p class="help">It runs on the machine of the worker manager. A worker on another machine joins with a join token.</p>
      ${FIELDS.map(({ name, path = name, label, help, ...attributes }) => html`<${Field} key=${name} label=${label} help=${help} optional error=${error(path)}>
        <input type="text" value=${form[name]} spellcheck=${false} autocomplete="off" ...${attributes} onInput=${set(name)} />
      <//>`)}
      <${ProblemBox} error=${refusal} />
      <div class="buttons">
        <button type="button" onClick=${onClose}>Close</button>
        <button type="submit" class="primary" disabled=${busy}>${busy ? "Starting…" : "Start the worker"}</button>
      </div>
    </form>
  <//>`;
}
