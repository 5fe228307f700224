// Links within a job's page.

import { html } from "../../app/html.js";
import { route } from "../../app/router.js";
import { Link } from "../../parts/link.js";
import { addressOf } from "./model.js";

/** A link to a step of the job that is open: on the tab that is open, or on `tab`; to one attempt of it, with `attempt`. */
export function StepLink({ task, tab, attempt, children, ...others }) {
  const { path, query } = route.value;
  const address = { ...query, ...addressOf(task), ...(tab ? { tab } : {}), ...(attempt ? { attempt } : {}) };
  return html`<${Link} to=${path} query=${address} data-keeps-scroll ...${others}>${children}<//>`;
}
