// Filters of a list, which the page's URL holds; and its pages.
import { html } from "../app/html.js";
import { route, setQuery } from "../app/router.js";
import { Link } from "./link.js";

/**
 * `<Filters fields=${[{name: "status", label: "Status", choices: ["paused"]}, {name: "name", label: "Name"}]} query=${query}/>`:
 * a field with `choices` is a list to choose from, `[value, words]` or plain texts; any other takes a text. `none` is the
 * choice of no filter, if it is not "any".
 */
export function Filters({ fields, query }) {
  const change = (name) => (event) => setQuery({ [name]: event.currentTarget.value.trim() || null, cursor: null });
  const set = fields.some(({ name }) => query[name]);
  const clear = () => setQuery(Object.fromEntries(["cursor", ...fields.map(({ name }) => name)].map((name) => [name, null])));
  return html`<form class="list-filters" role="search" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
    ${fields.map(({ name, label, choices, hint, none }) => html`<div key=${name}>
      <label for=${`filter-${name}`}>${label}</label>
      ${choices ? html`<${Choice} id=${`filter-${name}`} value=${query[name]} choices=${choices} none=${none} onChange=${change(name)} />`
        : html`<input key=${query[name]} id=${`filter-${name}`} type="text" defaultValue=${query[name] ?? ""} placeholder=${hint} onChange=${change(name)} spellcheck=${false} />`}
    </div>`)}
    ${set && html`<button type="button" class="quiet" onClick=${clear}>Clear filters</button>`}
  </form>`;
}

function Choice({ id, value = "", choices, none = "any", onChange }) {
  const all = choices.map((one) => (Array.isArray(one) ? one : [one, one]));
  return html`<select id=${id} value=${value} onChange=${onChange}>
    <option value="">${none}</option>
    ${all.map(([each, words]) => html`<option key=${each} value=${each} selected=${each === value}>${words}</option>`)}
  </select>`;
}

/** The filters of a query that an API takes: those of `fields`, and the cursor. */
export function filtersOf(fields, query) {
  return Object.fromEntries(["cursor", ...fields.map(({ name }) => name)].map((name) => [name, query[name]]));
}

/** Links to the first and to the next page of a list; nothing where there is one page. */
export function Pages({ query, next }) {
  if (!next && !query.cursor) return null;
  const { path } = route.value;
  return html`<nav class="list-pages" aria-label="Pages of the list">
    ${query.cursor && html`<${Link} to=${path} query=${{ ...query, cursor: null }}>First page<//>`}
    ${next && html`<${Link} to=${path} query=${{ ...query, cursor: next }}>Next page<//>`}
  </nav>`;
}
