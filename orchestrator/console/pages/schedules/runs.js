// What a schedule runs, with a link where it has a page of its own.
import { html } from "../../app/html.js";
import { inert, shortId } from "../../app/text.js";
import { Link } from "../../parts/link.js";
import { runs } from "./words.js";

/** `<Runs schedule=${schedule}/>` */
export function Runs({ schedule }) {
  const { kind, id, text, to } = runs(schedule);
  if (to === null) return html`<code>${inert(text)}</code>`;
  return html`<${Link} to=${to}>${kind} ${shortId(id)}<//>`;
}
