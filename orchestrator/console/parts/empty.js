// What a page shows that has nothing to show: why, and the command that would fill it.
import { html } from "../app/html.js";
import { Copy } from "./copy.js";

/** `<Empty text="No job has run yet." command="hodei run -- echo hello"/>` */
export function Empty({ text, command, children }) {
  return html`<div class="empty">
    <p>${text}</p>
    ${command && html`<p class="command"><code>${command}</code> <${Copy} text=${command} /></p>`} ${children}
  </div>`;
}
