// What the role of the person's token allows, so that a page does not offer what would be refused.
import { signal } from "@preact/signals";

/** The role of the token of this session. null: not known, or access is off. */
export const role = signal(null);

/** The id of that token. */
export const token = signal(null);

/** Each role includes those before it. */
const ROLES = ["viewer", "submitter", "operator", "admin"];

/** Whether the role allows what needs `needed`. A role that is not known allows it: the service decides anyway. */
export function allows(needed) {
  const has = ROLES.indexOf(role.value);
  return has < 0 || has >= ROLES.indexOf(needed);
}

/** The attributes of a button for what needs a role: none, or disabled with the reason as its title. They come last:
 * `<button disabled=${busy} ...${lacking("operator")}>`. */
export function lacking(needed) {
  return allows(needed) ? {} : { disabled: true, title: `This needs a token with the role ${needed}; yours has the role ${role.value}.` };
}

/** The same for what a submitter may do with the jobs that it created, and an operator with all. */
export function lackingFor({ created_by: creator }) {
  if (role.value !== "submitter" || creator?.id === token.value) return lacking("submitter");
  return { disabled: true, title: "This job was created with another token: that needs the role operator; yours has the role submitter." };
}
