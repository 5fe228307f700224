// The controls of the page Run, tied to a form: an object of texts, and the errors at its fields.
import { html, useState } from "../../app/html.js";
import { Field } from "../../parts/form.js";

/** State of a form: `{form, set, errors, setErrors}`; changing a field clears its error. */
export function useForm(initial) {
  const [form, setForm] = useState(initial);
  const [errors, setErrors] = useState({});
  const set = (name, value) => {
    setForm((old) => ({ ...old, [name]: value }));
    setErrors(({ [name]: _, ...rest }) => rest);
  };
  return { form, set, errors, setErrors };
}

/** One field: a line, or with `rows` an area, or with `choices` (`[[value, text]]`) a choice. `state` is of `useForm`. */
export function Control({ state, name, label, help, choices, rows, ...attributes }) {
  const props = { value: state.form[name], onInput: (event) => state.set(name, event.target.value), ...attributes };
  return html`<${Field} label=${label} help=${help} error=${state.errors[name]}>${element(props, choices, rows)}<//>`;
}

function element(props, choices, rows) {
  if (choices) {
    return html`<select ...${props}>
      ${choices.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === props.value}>${text}</option>`)}
    </select>`;
  }
  if (rows) return html`<textarea rows=${rows} spellcheck=${false} autocapitalize="off" ...${props}></textarea>`;
  return html`<input type="text" autocomplete="off" ...${props} />`;
}
