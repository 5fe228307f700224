// The list of keys that `?` shows.
import { Dialog } from "../parts/dialog.js";
import { html } from "./html.js";
import { bound } from "./keys.js";

/** The keys that work on the open page. */
export function KeysHelp({ onClose }) {
  const all = new Map();
  for (const { help } of bound.value) for (const [key, text] of Object.entries(help)) all.set(key, text);
  return html`<${Dialog} title="Keys" onClose=${onClose}>
    <dl class="keys">
      ${[...all].map(
        ([key, text]) => html`<div key=${key}>
          <dt>${key.split(" ").map((one) => html`<kbd>${one}</kbd> `)}</dt>
          <dd>${text}</dd>
        </div>`,
      )}
    </dl>
    <div class="buttons"><button type="button" class="primary" onClick=${onClose}>Close</button></div>
  <//>`;
}
