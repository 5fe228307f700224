// The head of a page: its title, what is beside it, and what can be done.
import { html } from "../app/html.js";
import { AsCurl } from "./curl.js";

/** Characters: a longer title may not fit on its two lines, so the whole is its tooltip. */
const LONG = 60;

/** `<PageHead title="Jobs" actions=${html`…`}>…</PageHead>`: the children stand below the title. */
export function PageHead({ title, actions, children }) {
  return html`<header class="page-head">
    <h1 tabindex="-1" title=${typeof title === "string" && title.length > LONG ? title : undefined}>${title}</h1>
    <div class="actions">${actions}<${AsCurl} /></div>
    ${children && html`<div class="below">${children}</div>`}
  </header>`;
}
