// What went wrong, and what can be done about it.
import { html } from "../app/html.js";
import { away } from "../app/platform.js";
import { toldOf } from "../app/problem.js";
import { inert } from "../app/text.js";

/** `<ProblemBox error=${problem} retry=${refresh}/>`; nothing without an error, nor for one that a banner tells. */
export function ProblemBox({ error, retry }) {
  if (!error || (error.offline && away.value !== null)) return null;
  const { detail, errors, advice } = toldOf(error);
  return html`<div class="problem" role="alert">
    <p><strong>${inert(headline(error))}</strong></p>
    ${detail && html`<p>${inert(detail)}</p>`}
    ${errors.length > 0 && html`<ul>${errors.map(({ field, msg }) => html`<li>${field && html`<code>${inert(field)}</code> `}${inert(msg)}</li>`)}</ul>`}
    ${advice && html`<p class="help">${advice}</p>`}
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
  </div>`;
}

function headline(error) {
  if (error.offline) return error.title || "No answer";
  if (error.status === 404) return "This does not exist";
  if (error.status === 401) return "You are signed out";
  if (error.status === 403) return "Your token may not do this";
  if (error.status === 409) return "This is not possible now";
  if (error.status === 422 || error.status === 400) return "The service did not accept this";
  if (error.status === 429) return "The platform is busy";
  return error.title || error.message || "Something went wrong";
}
