// The lists of what opens the platform: create one, see its text this once, revoke it.
import { useAct } from "../../app/act.js";
import { del, get, post } from "../../app/api.js";
import { useForm } from "../../app/form.js";
import { html, useState } from "../../app/html.js";
import { useLive } from "../../app/live.js";
import { lacking } from "../../app/role.js";
import { inert, shortId } from "../../app/text.js";
import { now } from "../../app/time.js";
import { Copy } from "../../parts/copy.js";
import { confirm, Dialog } from "../../parts/dialog.js";
import { Empty } from "../../parts/empty.js";
import { Filters, filtersOf, Pages } from "../../parts/filters.js";
import { Field } from "../../parts/form.js";
import { ProblemBox } from "../../parts/problem.js";
import { Status } from "../../parts/status.js";
import { Table } from "../../parts/table.js";
import { Time } from "../../parts/time.js";
import { lasting } from "../../parts/toast.js";
import { KINDS, stateOf } from "./kinds.js";

const FILTERS = [{ name: "state", label: "State", choices: ["active", "expired", "revoked"] }];

export function Secrets({ kind: name, query }) {
  const kind = KINDS[name];
  const [open, setOpen] = useState(false);
  const filters = filtersOf(FILTERS, query);
  const { data, error, refresh } = useLive(({ signal }) => get(kind.service, kind.path, { query: filters, signal }), [JSON.stringify(filters)], { every: 10_000 });
  const { act, error: refused } = useAct(refresh);
  const revoke = async (row) => {
    const sure = await confirm({ title: `Revoke ${inert(row.name)}?`, text: kind.revoked, action: "Revoke", danger: true });
    if (sure) await act(() => del(kind.service, `${kind.path}/${row.id}`), `${inert(row.name)} is revoked`);
  };
  const none = html`<${Empty} text=${query.state ? "None is in this state." : `There are none yet.`} command=${kind.command} />`;
  return html`<section class="secrets">
    <p class="help">${kind.what}</p>
    <div class="secrets-head">
      <${Filters} fields=${FILTERS} query=${query} />
      <button type="button" class="primary" onClick=${() => setOpen(true)} ...${lacking(`${kind.service} POST ${kind.path}`)}>Create ${article(kind.one)}</button>
    </div>
    <${ProblemBox} error=${refused ?? error} />
    ${data && html`<${Table} label=${name} columns=${columnsOf(kind, revoke)} rows=${data.data} empty=${none} />`}
    ${data && html`<${Pages} query=${query} next=${data.next} />`}
    ${open && html`<${NewSecret} kind=${kind} onClose=${() => (setOpen(false), refresh())} />`}
  </section>`;
}

const article = (words) => (words === "credentials" ? words : `a ${words}`);

function columnsOf(kind, revoke) {
  return [
    { key: "name", title: "Name", wide: true, cell: (row) => html`${inert(row.name)} <code class="muted">${shortId(row.id)}</code>` },
    { key: "state", title: "State", cell: (row) => html`<${Status} of=${stateOf(row, now.value)} />` },
    ...kind.columns.map(([key, title, cell]) => ({ key, title, cell, wide: key === "subjects" || key === "labels" })),
    { key: "created", title: "Created", cell: (row) => html`<${Time} at=${row.created_at} relative />${row.created_by ? html` <span class="muted">by ${inert(row.created_by.name)}</span>` : ""}` },
    { key: "expires", title: "Expires", cell: (row) => html`<${Time} at=${row.expires_at} relative />` },
    ...(kind.one === "token" ? [{ key: "used", title: "Last used", cell: (row) => html`<${Time} at=${row.last_used_at} relative />` }] : []),
    {
      key: "revoke",
      title: html`<span class="visually-hidden">Actions</span>`,
      align: "end",
      cell: (row) => stateOf(row, now.value) === "active" && html`<button type="button" class="quiet" onClick=${() => revoke(row)} ...${lacking(`${kind.service} DELETE ${kind.path}/{id}`)}>Revoke</button>`,
    },
  ];
}

function NewSecret({ kind, onClose }) {
  const [made, setMade] = useState(null);
  const { form, set, submit, busy, error, refusal } = useForm(kind.empty, async (filled, here) => {
    const { data } = await post(kind.service, kind.path, { body: kind.body(filled, now.peek()) });
    if (here()) setMade(data);
    else lasting({ text: `${data.name} was created, but the page that shows it once was left. Revoke it, and create another.` });
  });
  const close = busy ? () => {} : onClose; // what is created now can be shown in this window only
  if (made) return html`<${Made} kind=${kind} made=${made} onClose=${onClose} />`;
  return html`<${Dialog} title=${`Create ${article(kind.one)}`} onClose=${close}>
    <form class="secrets-form" onSubmit=${submit}>
      ${kind.fields.map(({ name, label, help, optional, choices, words, ...attributes }) => html`<${Field} key=${name} label=${label} help=${help} optional=${optional} error=${error(FIELD_OF[name] ?? name)}>
        ${choices
          ? html`<select value=${form[name]} onChange=${set(name)}>${choices.map((one) => html`<option key=${one} value=${one} selected=${one === form[name]}>${words?.[one] ?? one}</option>`)}</select>`
          : html`<input type="text" value=${form[name]} autocomplete="off" spellcheck=${false} ...${attributes} onInput=${set(name)} />`}
      <//>`)}
      <${ProblemBox} error=${refusal} />
      <div class="buttons">
        <button type="button" disabled=${busy} onClick=${close}>Close</button>
        <button type="submit" class="primary" disabled=${busy}>${busy ? "Creating…" : "Create"}</button>
      </div>
    </form>
  <//>`;
}

const FIELD_OF = { days: "expires_at", uses: "max_uses" };

function Made({ kind, made, onClose }) {
  const text = made[kind.secret];
  return html`<${Dialog} title=${`${inert(made.name)} is created`} wide onClose=${onClose}>
    <p>This is shown once. Copy it now, and keep it like a password.</p>
    <div class="secret"><pre tabindex="0">${text}</pre><${Copy} text=${text} label="Copy the secret" word="Copy" /></div>
    <div class="buttons"><button type="button" class="primary" onClick=${onClose}>I have copied it</button></div>
  <//>`;
}
