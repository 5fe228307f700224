// The filters above the list of jobs.
import { html, useState } from "../../app/html.js";
import { navigate } from "../../app/router.js";
import { count, inert } from "../../app/text.js";
import { Icon } from "../../parts/icon.js";
import { Status } from "../../parts/status.js";
import { adding, chips, faultOf, FIELDS, STATUSES, toQuery } from "./filters.js";

const apply = (filters) => navigate("/jobs", { query: toQuery(filters) });
const CHOICES = Object.entries(FIELDS).filter(([name]) => name !== "status");

/** `counts`: how many jobs of all have each status, if that is known. */
export function FilterBar({ filters, counts }) {
  return html`<section class="filters" aria-label="Filters">
    <${Statuses} ...${{ filters, counts }} />
    <${Adding} filters=${filters} />
    <${Chips} filters=${filters} />
  </section>`;
}

function Statuses({ filters, counts }) {
  const chosen = filters.status ?? [];
  const toggle = (status) => {
    const kept = chosen.includes(status) ? chosen.filter((one) => one !== status) : [...chosen, status];
    apply({ ...filters, status: kept });
  };
  return html`<div class="statuses" role="group" aria-label="Status">
    ${STATUSES.map((status) => html`<button key=${status} type="button" class="chip" aria-pressed=${chosen.includes(status)} onClick=${() => toggle(status)}>
      <${Status} of=${status} />${counts && html` <span class="number" title="of all jobs">${count(counts[status])}</span>`}
    </button>`)}
  </div>`;
}

function Adding({ filters }) {
  const [name, setName] = useState("name");
  const [text, setText] = useState("");
  const [fault, setFault] = useState(null);
  const field = FIELDS[name];
  const onSubmit = (event) => {
    event.preventDefault();
    const found = text.trim() ? faultOf(field, text.trim()) : null;
    setFault(found);
    if (found || !text.trim()) return;
    apply(adding(filters, name, text));
    setText("");
  };
  const onInput = (event) => {
    setText(event.target.value);
    setFault(null);
  };
  return html`<form class="adding" noValidate onSubmit=${onSubmit}>
    <select aria-label="Filter by" value=${name} onChange=${(event) => setName(event.target.value)}>
      ${CHOICES.map(([id, { label }]) => html`<option key=${id} value=${id} selected=${id === name}>${label}</option>`)}
    </select>
    <input aria-label=${field.label} aria-invalid=${fault ? "true" : undefined} aria-describedby=${fault ? "filter-fault" : undefined}
      value=${text} placeholder=${field.hint} autocomplete="off" spellcheck=${false} onInput=${onInput} />
    <button type="submit">Filter</button>
    ${fault && html`<p class="error" id="filter-fault" role="alert">${fault}</p>`}
  </form>`;
}

function Chips({ filters }) {
  const found = chips(filters);
  if (!found.length && !filters.status) return null;
  return html`<ul class="chips" aria-label="Filters that are set">
    ${found.map(({ name, text, rest }) => html`<li key=${`${name} ${text}`}>
      <button type="button" class="chip" aria-label=${`Remove the filter ${inert(text)}`} onClick=${() => apply(rest)}>
        ${inert(text)} <${Icon} name="cross" />
      </button>
    </li>`)}
    <li><button type="button" class="quiet" onClick=${() => apply({})}>Clear all</button></li>
  </ul>`;
}
