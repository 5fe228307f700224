// What the role of the person's token allows, so that a page does not offer what would be refused.
import { signal } from "@preact/signals";

/** The role of the token of this session. null: not known, or access is off. */
export const role = signal(null);

/** The id of that token. */
export const token = signal(null);

/** Each role includes those before it. */
const ROLES = ["viewer", "submitter", "operator", "admin"];

/** The lowest role for each call by which the console changes something. A test holds them against the services' own
 * documents (`x-hodei-role`). */
const NEEDED = {
  "orchestrator POST /api/v1/jobs": "submitter",
  "orchestrator PATCH /api/v1/jobs/{id}": "submitter",
  "orchestrator DELETE /api/v1/jobs/{id}": "operator",
  "orchestrator POST /api/v1/jobs/{id}/cancel": "submitter",
  "orchestrator POST /api/v1/jobs/{id}/rerun": "submitter",
  "orchestrator POST /api/v1/jobs/cancel": "submitter",
  "orchestrator POST /api/v1/jobs/rerun": "submitter",
  "orchestrator POST /api/v1/jobs/delete": "operator",
  "orchestrator POST /api/v1/tasks/{id}/approve": "operator",
  "orchestrator POST /api/v1/tasks/{id}/reject": "operator",
  "orchestrator DELETE /api/v1/pipelines/{id}": "operator",
  "orchestrator POST /api/v1/tokens": "admin",
  "orchestrator DELETE /api/v1/tokens/{id}": "admin",
  "scheduler POST /api/v1/schedule": "operator",
  "scheduler DELETE /api/v1/scheduled/{id}": "operator",
  "scheduler POST /api/v1/scheduled/{id}/trigger": "operator",
  "scheduler POST /api/v1/scheduled/{id}/pause": "operator",
  "scheduler POST /api/v1/scheduled/{id}/resume": "operator",
  "scheduler POST /api/v1/workers/{id}/drain": "operator",
  "scheduler POST /api/v1/workers/{id}/resume": "operator",
  "scheduler DELETE /api/v1/workers/{id}": "operator",
  "worker_manager POST /api/v1/workers": "operator",
  "worker_manager DELETE /api/v1/workers/{id}": "operator",
  "worker_manager POST /api/v1/join-tokens": "operator",
  "worker_manager DELETE /api/v1/join-tokens/{id}": "operator",
  "worker_manager POST /api/v1/credentials": "operator",
  "worker_manager DELETE /api/v1/credentials/{id}": "operator",
};

/** Whether the role allows a call: `allows("orchestrator POST /api/v1/jobs")`. A role that is not known allows it: the
 * service decides anyway. */
export function allows(call) {
  return covers(neededBy(call));
}

/** The attributes of a button for a call: none, or disabled with the reason as its title. They come last:
 * `<button disabled=${busy} ...${lacking("scheduler POST /api/v1/schedule")}>`. */
export function lacking(call) {
  const needed = neededBy(call);
  return covers(needed) ? {} : { disabled: true, title: `This needs a token with the role ${needed}; yours has the role ${role.value}.` };
}

/** The same for a call by which a submitter may change the jobs that it created, and an operator all. */
export function lackingFor(call, { created_by: creator }) {
  if (role.value !== "submitter" || creator?.id === token.value) return lacking(call);
  return { disabled: true, title: "This job was created with another token: that needs the role operator; yours has the role submitter." };
}

function covers(needed) {
  const has = ROLES.indexOf(role.value);
  return has < 0 || has >= ROLES.indexOf(needed);
}

function neededBy(call) {
  if (!Object.hasOwn(NEEDED, call)) throw new Error(`No role is known for the call ${call}`);
  return NEEDED[call];
}
