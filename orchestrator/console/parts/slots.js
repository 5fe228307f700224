// The slots of a worker: how many of them are busy.
import { html } from "../app/html.js";

const MOST_SHOWN = 32;
const SIZE = 9;
const GAP = 3;

/** `<Slots busy=${3} slots=${8}/>`: a square for each slot, or a bar for many; and the numbers. */
export function Slots({ busy, slots }) {
  const text = `${busy} of ${slots}`;
  const width = slots <= MOST_SHOWN ? Math.max(1, slots) * (SIZE + GAP) - GAP : 160;
  return html`<span class="slots">
    <svg width=${width} height=${SIZE} role="img" aria-label=${`${text} slots are busy`}>
      ${slots <= MOST_SHOWN
        ? Array.from({ length: slots }, (_, index) => html`<rect key=${index} class=${index < busy ? "busy" : "free"} x=${index * (SIZE + GAP)} width=${SIZE} height=${SIZE} rx="2" />`)
        : html`<rect class="free" width=${width} height=${SIZE} rx="2" /><rect class="busy" width=${(width * Math.min(busy, slots)) / slots} height=${SIZE} rx="2" />`}
    </svg>
    <span class="number">${text}</span>
  </span>`;
}
