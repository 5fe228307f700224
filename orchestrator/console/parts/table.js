// A table whose rows can be walked through with j and k, opened with Enter, and chosen with x.
import { html, useRef } from "../app/html.js";
import { useKeys } from "../app/keys.js";
import { ScrollBox } from "./scroll-box.js";

/** `columns`: `[{key, title, cell: (row) => …, align: "end", wide: true, class: "…", has: (row) => …}]`; without `cell`,
 * `row[key]` is shown. A column with `has` is left out where no row has it.
 * `onOpen(row)` opens a row. `selected`: a signal with the Set of the keys of the rows that are chosen.
 * `label` names the table for screen readers. */
export function Table({ columns: all, rows, keyOf = (row) => row.id, onOpen, selected, label, empty }) {
  const body = useRef(null);
  useKeys(
    {
      j: () => step(body.current, 1),
      k: () => step(body.current, -1),
      ...(selected ? { x: () => toggleFocused(body.current, selected) } : {}),
    },
    { j: "Next row", k: "Previous row", ...(onOpen ? { Enter: "Open the row" } : {}), ...(selected ? { x: "Choose the row" } : {}) },
  );
  if (rows.length === 0 && empty) return empty;
  const columns = all.filter(({ has }) => !has || rows.some(has));
  return html`<${ScrollBox} label=${label}>
    <table>
      <thead>
        <tr>
          ${selected && html`<th class="choose"><${ChooseAll} keys=${rows.map(keyOf)} selected=${selected} /></th>`}
          ${columns.map((one) => html`<th key=${one.key} scope="col" class=${cellClass(one)}>${one.title}</th>`)}
        </tr>
      </thead>
      <tbody ref=${body}>
        ${rows.map((row) => html`<${Row} key=${keyOf(row)} id=${keyOf(row)} ...${{ row, columns, onOpen, selected }} />`)}
      </tbody>
    </table>
  <//>`;
}

function Row({ id, row, columns, onOpen, selected }) {
  const chosen = selected?.value.has(id);
  const open = (event) => {
    const inner = event.target.closest("a, button, input, label, select");
    if (onOpen && !inner && !String(getSelection())) onOpen(row);
  };
  const onKeyDown = (event) => {
    if (event.key === "Enter" && event.target === event.currentTarget) onOpen?.(row);
  };
  return html`<tr
    tabindex="-1"
    data-key=${id}
    class=${`${onOpen ? "opens" : ""} ${chosen ? "chosen" : ""}`}
    onClick=${open}
    onKeyDown=${onKeyDown}
  >
    ${selected && html`<td class="choose"><input type="checkbox" aria-label="Choose this row" checked=${chosen} onChange=${() => toggle(selected, id)} /></td>`}
    ${columns.map((one) => html`<td key=${one.key} class=${cellClass(one)}>${one.cell ? one.cell(row) : row[one.key]}</td>`)}
  </tr>`;
}

function ChooseAll({ keys, selected }) {
  const all = keys.length > 0 && keys.every((key) => selected.value.has(key));
  const change = () => {
    selected.value = all ? new Set() : new Set([...selected.value, ...keys]);
  };
  return html`<input type="checkbox" aria-label="Choose all rows shown" checked=${all} onChange=${change} />`;
}

const cellClass = ({ align, wide, class: own }) => [align === "end" && "end", wide && "wide", own].filter(Boolean).join(" ") || undefined;

function toggle(selected, key) {
  const next = new Set(selected.value);
  if (!next.delete(key)) next.add(key);
  selected.value = next;
}

function toggleFocused(body, selected) {
  const row = document.activeElement?.closest("tr[data-key]");
  if (!row || !body?.contains(row)) return false;
  toggle(selected, row.dataset.key);
  return true;
}

function step(body, by) {
  if (!body || body.rows.length === 0) return false;
  const rows = [...body.rows];
  const at = rows.indexOf(document.activeElement?.closest("tr"));
  const next = at < 0 ? rows[by > 0 ? 0 : rows.length - 1] : rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
  return true;
}
