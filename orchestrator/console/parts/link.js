// A link to a page of the console.
import { html } from "../app/html.js";
import { href } from "../app/router.js";

/** `<Link to="/jobs" query=${{status: "failed"}}>…</Link>`; other attributes go to the `<a>`. */
export function Link({ to, query, hash = "", children, ...others }) {
  return html`<a href=${href(to, query) + hash} ...${others}>${children}</a>`;
}
