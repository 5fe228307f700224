// A button that copies a text, on plain HTTP too, where pages have no clipboard of their own.
import { html, useState } from "../app/html.js";
import { Icon } from "./icon.js";
import { toast } from "./toast.js";

/** `<Copy text="hodei jobs"/>`; `label` is the button's name for screen readers, `word` is shown beside the icon. */
export function Copy({ text, label = "Copy", word }) {
  const [done, setDone] = useState(false);
  const onClick = async () => {
    if (!(await copied(text))) return toast("The browser refused to copy. Select the text and press Ctrl-C.");
    setDone(true);
    setTimeout(() => setDone(false), 1500);
    return undefined;
  };
  return html`<button type="button" class="quiet copy" aria-label=${label} title=${done ? "Copied" : label} onClick=${onClick}>
    <${Icon} name=${done ? "check" : "copy"} />${word && html` <span>${done ? "Copied" : word}</span>`}
  </button>`;
}

async function copied(text) {
  if (navigator.clipboard && isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed for this page: the older way may be.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
