// A status: an icon, a colour and the word, so that the colour is never alone.
import { html } from "../app/html.js";
import { words } from "../app/text.js";
import { Icon } from "./icon.js";

// [tone, icon] of each status of jobs, tasks, executions, workers, processes, schedules and firings.
const LOOKS = {
  pending: ["waiting", "clock"],
  queued: ["waiting", "clock"],
  waiting: ["waiting", "clock"],
  scheduled: ["placed", "clock"],
  starting: ["placed", "clock"],
  running: ["running", "ring"],
  fired: ["running", "ring"],
  succeeded: ["succeeded", "check"],
  completed: ["succeeded", "check"],
  online: ["succeeded", "check"],
  healthy: ["succeeded", "check"],
  active: ["succeeded", "check"],
  approved: ["succeeded", "check"],
  failed: ["failed", "cross"],
  timed_out: ["failed", "clock"],
  lost: ["failed", "warn"],
  unhealthy: ["failed", "warn"],
  missed: ["failed", "warn"],
  refused: ["failed", "cross"],
  rejected: ["failed", "cross"],
  degraded: ["warning", "warn"],
  draining: ["warning", "pause"],
  paused: ["muted", "pause"],
  cancelled: ["muted", "bar"],
  skipped: ["muted", "skip"],
  offline: ["muted", "bar"],
  stopped: ["muted", "bar"],
  archived: ["muted", "bar"],
  expired: ["muted", "clock"],
  revoked: ["muted", "bar"],
};

/** The tone of a status: `waiting`, `placed`, `running`, `succeeded`, `failed`, `warning` or `muted`. There is a token
 * `--<tone>` for each in the stylesheet. */
export const toneOf = (status) => (LOOKS[status] ?? ["muted"])[0];

/** The name of a status's icon. */
export const iconOf = (status) => (LOOKS[status] ?? ["muted", "dot"])[1];

/** Reasons that only repeat a status in another word. */
const REPEATED = { timed_out: "timeout" };

/** Whether a reason tells more than the status itself. */
export const adds = (status, reason) => Boolean(reason) && reason !== status && reason !== REPEATED[status];

/** `<Status of="failed" reason="timeout"/>`: a reason that only repeats the status is not shown. */
export function Status({ of, reason }) {
  const [tone, icon] = LOOKS[of] ?? ["muted", "dot"];
  return html`<span class=${`status tone-${tone}`} data-status=${of}>
    <${Icon} name=${icon} class=${of === "running" ? "turning" : ""} />
    <span>${words(of)}${adds(of, reason) ? html`<span class="reason"> · ${words(reason)}</span>` : null}</span>
  </span>`;
}
