// The state of a form: what is in it, whether it is being sent, and what was refused.
import { useState } from "./html.js";
import { failed } from "../parts/toast.js";
import { pageTitle, useHere } from "./here.js";
import { ofAction } from "./problem.js";

/**
 * `useForm(EMPTY, async (form, here) => …)`, where `here()` is false once the form is gone. `set("name")` is a field's event
 * handler and `put({paused: true})` changes fields; `error("name")` is what the service, or `send` itself by a TypeError with
 * `field`, says of a field; `refusal` is what the service said, all of it. If the form was closed meanwhile, a message tells
 * the refusal.
 */
export function useForm(empty, send) {
  const [form, setForm] = useState(empty);
  const [state, setState] = useState({ busy: false, problem: null });
  const here = useHere();
  const put = (changes) => setForm((old) => ({ ...old, ...changes }));
  const submit = async (event) => {
    event.preventDefault();
    if (state.busy) return;
    const page = pageTitle();
    setState({ busy: true, problem: null });
    try {
      await send(form, here);
    } catch (raised) {
      const problem = ofAction(raised);
      setState({ busy: false, problem });
      if (!here()) failed(page, problem);
    }
  };
  const { busy, problem } = state;
  return {
    form, put, submit, busy,
    set: (name) => (event) => put({ [name]: event.currentTarget.value }),
    error: (path) => messageOf(problem, path),
    refusal: problem instanceof TypeError ? null : problem,
  };
}

/** The message about a field, or about what is in it; "" if there is none. */
export function messageOf(problem, path) {
  if (problem === null) return "";
  if (problem.errors === undefined) return problem.field === path ? problem.message : "";
  const about = ({ loc }) => `${loc.slice(1).join(".")}.`.startsWith(`${path}.`);
  return problem.errors.find(about)?.msg ?? "";
}
