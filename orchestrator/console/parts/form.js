// Fields of forms.
import { cloneElement, toChildArray } from "preact";
import { html, useEffect, useId } from "../app/html.js";

/** `<Field label="Name" error=${problem?.fieldError("name")} help="…"><input …/></Field>`: ties the label, the help and
 * the error to the one control inside. A control with `autofocus` takes the focus, unless it is in another field. */
export function Field({ label, error, help, optional = false, children }) {
  const [control, ...others] = toChildArray(children);
  const own = useId();
  const id = control.props.id ?? own;
  useEffect(() => {
    const free = !document.activeElement || document.activeElement.matches("body, h1, a");
    if (control.props.autofocus && free) document.getElementById(id)?.focus();
  }, []);
  const about = [help && `${id}-help`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  const props = { id, "aria-describedby": about, "aria-invalid": error ? "true" : undefined };
  return html`<div class=${`field ${error ? "wrong" : ""}`}>
    <label for=${id}>${label}${optional && html`<span class="muted"> (optional)</span>`}</label>
    ${cloneElement(control, props)} ${others} ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
    ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
  </div>`;
}
