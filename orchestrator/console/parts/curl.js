// "As curl": the calls that this page made, to be made by hand.
import { calls } from "../app/api.js";
import { curlOf } from "../app/curl.js";
import { html, useState } from "../app/html.js";
import { session } from "../app/session.js";
import { Copy } from "./copy.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icon.js";

/** A button that shows the calls of the open page as commands. */
export function AsCurl() {
  const [open, setOpen] = useState(false);
  return html`<button type="button" class="quiet" onClick=${() => setOpen(true)}><${Icon} name="code" /> As curl</button>
    ${open && html`<${Calls} onClose=${() => setOpen(false)} />`}`;
}

function Calls({ onClose }) {
  const access = session.value !== "off";
  const commands = calls.value.map((one) => curlOf(one, { access }));
  return html`<${Dialog} title="The calls that this page made" wide onClose=${onClose}>
    <p class="help">
      The console uses nothing but the public API.
      ${access && html` <code>$HODEI_TOKEN</code> stands for your token.`}
    </p>
    ${commands.length === 0 && html`<p>None yet.</p>`}
    <ol class="commands">
      ${commands.map((one, at) => html`<li key=${at}><code>${one}</code><${Copy} text=${one} /></li>`)}
    </ol>
    <div class="buttons">
      ${commands.length > 1 && html`<${Copy} text=${commands.join("\n")} word="Copy all" />`}
      <button type="button" class="primary" onClick=${onClose}>Close</button>
    </div>
  <//>`;
}
