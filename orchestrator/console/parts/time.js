// Times and durations on a page.
import { html } from "../app/html.js";
import { ago, formatDuration, formatTime, now } from "../app/time.js";

/** `<Time at=${iso}/>`: in the chosen zone, with ISO 8601 on hover. With `relative`, "3 min ago". */
export function Time({ at, relative = false, seconds = true }) {
  if (!at) return html`<span class="muted">–</span>`;
  const exact = formatTime(at, { seconds });
  return html`<time class="time" datetime=${at} title=${relative ? `${exact} · ${at}` : at}>${relative ? ago(at) : exact}</time>`;
}

/** `<Duration from=${iso} to=${iso}/>`: runs live while `to` is missing. */
export function Duration({ from, to }) {
  if (!from) return html`<span class="muted">–</span>`;
  const end = to ? Date.parse(to) : now.value;
  const text = formatDuration(Math.max(0, end - Date.parse(from)));
  return html`<span class="duration">${to ? text : text.replace(/\.\d s$/, " s").replace(/^\d+ ms$/, "0 s")}</span>`;
}
