// Parts of the pages Workers and Worker.
import { html } from "../../app/html.js";
import { lease } from "../../app/platform.js";
import { formatDuration, now } from "../../app/time.js";
import { heartbeat, slots } from "./fleet.js";

/** `<Slots of=${worker}/>`: how many of its slots are taken, as a bar and in figures. */
export function Slots({ of }) {
  const { busy, total, share } = slots(of);
  return html`<span class="fleet-slots">
    <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="8" /><rect class="taken" width=${100 * share} height="8" /></svg>
    <span>${busy} of ${total}</span>
  </span>`;
}

/** `<Heartbeat of=${worker}/>`: its age, which runs live. */
export function Heartbeat({ of }) {
  const { age, late } = heartbeat(of, now.value, lease());
  if (age === null) return html`<span class="muted">none yet</span>`;
  const text = age < 1000 ? "now" : `${formatDuration(1000 * Math.floor(age / 1000)).replace(".0", "")} ago`;
  return html`<time class=${late ? "tone-failed" : ""} datetime=${of.last_heartbeat} title=${of.last_heartbeat}>${text}</time>`;
}
