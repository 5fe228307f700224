// Labels of a job or a worker.
import { html } from "../app/html.js";
import { inert } from "../app/text.js";

/** `<Labels of=${{team: "infra"}} to=${(key, value) => href(…)}/>`: with `to`, each is a link to what has it. */
export function Labels({ of, to }) {
  const entries = Object.entries(of ?? {});
  if (entries.length === 0) return null;
  return html`<ul class="labels">
    ${entries.map(([key, value]) => {
      const text = inert(value === "" ? key : `${key}=${value}`);
      return html`<li key=${key} title=${text}>${to ? html`<a href=${to(key, value)}>${text}</a>` : text}</li>`;
    })}
  </ul>`;
}
