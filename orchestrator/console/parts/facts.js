// Facts about one thing, each under its name.
import { html } from "../app/html.js";

/** `<Facts of=${[["Type", "gpu"], ["Labels", labels && html`…`]]}/>`; facts without a value are left out. */
export function Facts({ of }) {
  const shown = of.filter(([, value]) => value);
  return html`<dl class="fleet-facts">${shown.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
