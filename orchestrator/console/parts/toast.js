// Messages over the page, whichever is open: short ones that go away by themselves, of what was done; and lasting ones, of what
// goes on or failed although its page was left.
import { html, signal } from "../app/html.js";
import { inert } from "../app/text.js";
import { ProblemBox } from "./problem.js";

const shown = signal([]);
const kept = signal([]);
const LASTS = 5000;
let number = 0;

/** Show a short message for five seconds. */
export function toast(text) {
  const id = (number += 1);
  shown.value = [...shown.value, { id, text }].slice(-3);
  setTimeout(() => {
    shown.value = shown.value.filter((one) => one.id !== id);
  }, LASTS);
}

/** Show a message until the person closes it: `{text, error, button, goesOn}`. `button` is `{word, onClick, disabled}`. While
 * what it tells of `goesOn`, it cannot be closed. Returns a function that changes the message to another one. */
export function lasting(message) {
  const id = (number += 1);
  kept.value = [...kept.value, { ...message, id }];
  return (changed) => {
    kept.value = kept.value.map((one) => (one.id === id ? { ...changed, id } : one));
  };
}

/** Tell of an error of what was asked for on a page (its title) that was left before the answer came. */
export function failed(page, error) {
  lasting({ text: `What you asked for on the page “${page}”, before you left it:`, error });
}

/** Where short messages appear. The shell has it once. */
export function Toasts() {
  return html`<div class="toasts" role="status">${shown.value.map(({ id, text }) => html`<p key=${id}>${text}</p>`)}</div>`;
}

/** Where lasting messages appear. The shell has it once. */
export function Lasting() {
  return html`<div class="lasting" role="region" aria-label="Messages" aria-live="polite">
    ${kept.value.map(({ id, text, error, button, goesOn }) => html`<div key=${id} class="message">
      <p>${inert(text)}</p>
      ${button && html`<button type="button" disabled=${button.disabled} onClick=${button.onClick}>${button.word}</button>`}
      ${!goesOn && html`<button type="button" onClick=${() => close(id)}>Close</button>`}
      <${ProblemBox} error=${error} />
    </div>`)}
  </div>`;
}

function close(id) {
  kept.value = kept.value.filter((one) => one.id !== id);
}
