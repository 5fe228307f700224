// Short messages that go away by themselves: what was done, never what went wrong with the page.
import { html, signal } from "../app/html.js";

const shown = signal([]);
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

/** Where messages appear. The shell has it once. */
export function Toasts() {
  return html`<div class="toasts" role="status">${shown.value.map(({ id, text }) => html`<p key=${id}>${text}</p>`)}</div>`;
}
