// A block of lines as the page shows it: real text, with what is beside it (numbers, times) left out of copies.
//
// Lines are made without preact: a long log has so many of them that a tree beside the page's own would cost more than
// the page. Texts go in as text alone, so that no output can be anything else.
import { html, useLayoutEffect, useRef } from "../../app/html.js";
import { formatTime } from "../../app/time.js";
import { count, plural } from "../../app/text.js";
import { marked } from "./ansi.js";
import { BLOCK } from "./blocks.js";
import { missingRows } from "./rows.js";

/** The height of a line that is not wrapped, in pixels; the stylesheet has the same. */
export const LINE_HEIGHT = 20;

/** `<BlockView index=3 block=${…} last=${lines} look=${look}/>`. `block` is undefined while it is not here. `last` is the
 * log's last line. `look` is how lines are shown: `{chosen, pattern, hits, current, zone, address}`; without an address,
 * numbers are not links. */
export function BlockView({ index, block, last, look }) {
  const box = useRef(null);
  const shown = useRef({ rows: [], key: "" });
  const [from, to] = [index * BLOCK + 1, Math.min((index + 1) * BLOCK, last)];
  const own = {
    chosen: within(look.chosen, from, to),
    current: look.current >= from && look.current <= to ? look.current : null,
    pattern: look.hits.has(index) ? look.pattern : null,
    zone: look.zone,
    address: look.address,
  };
  const key = [own.chosen?.from, own.chosen?.to, own.current, own.pattern, own.zone, own.address].join();
  useLayoutEffect(() => {
    const element = box.current;
    const missing = block?.rows.length === 0;
    const rows = missing ? missingRows(from, to) : block?.rows ?? [];
    const piecesOf = (at) => (missing ? [{ text: rows[at].text, classes: "" }] : block.lines[at]);
    setSize(element, rows.length || to - from + 1, block !== undefined);
    update(element, shown.current, rows, (at) => rowOf(rows[at], piecesOf(at), own), key);
    shown.current = { rows, key };
  }, [block?.version, key, to]);
  return html`<div class="log-block" ref=${box}></div>`;
}

const within = (range, from, to) => (range && range.from <= to && range.to >= from ? range : null);

// A block that is not here is as high as its lines; one that is not on the screen is taken to be.
function setSize(element, lines, here) {
  element.style.minHeight = here ? "" : `${lines * LINE_HEIGHT}px`;
  element.style.containIntrinsicBlockSize = `auto ${lines * LINE_HEIGHT}px`;
}

/** Make the children of an element these rows. Rows at the beginning that are there already stay, and with them what a
 * person has selected in them. */
function update(element, before, rows, make, key) {
  let same = 0;
  if (before.key === key) while (same < rows.length && before.rows[same] === rows[same]) same += 1;
  while (element.childNodes.length > same) element.lastChild.remove();
  const added = document.createDocumentFragment();
  for (let at = same; at < rows.length; at += 1) added.append(make(at));
  element.append(added);
}

function rowOf(row, pieces, { chosen, current, pattern, zone, address }) {
  const { number } = row;
  const element = made("div", `log-row log-${row.stream}`);
  if (number !== null) {
    element.dataset.line = number;
    if (chosen && chosen.from <= number && number <= chosen.to) element.classList.add("log-chosen");
    if (number === current) element.classList.add("log-current");
  }
  element.append(numberOf(row, address));
  if (zone && row.at) element.append(time(row.at));
  const text = made("span", "log-text");
  for (const piece of pattern ? marked(pieces, pattern) : pieces) text.append(pieceOf(piece));
  if (row.more > 0) text.append(note(`… ${plural(row.more, "character")} more in the raw log`));
  if (row.states > 0) text.append(note(`↺ ${count(row.states)}`, "Texts that this one replaced, as a progress bar does"));
  text.append("\n");
  element.append(text);
  return element;
}

function numberOf({ number, stream }, address) {
  if (number === null || address === null) {
    const element = made("span", "log-number");
    if (number !== null) element.dataset.number = number;
    return element;
  }
  const link = made("a", "log-number");
  link.href = `${address}#L${number}`;
  link.dataset.number = number;
  link.tabIndex = -1;
  link.ariaLabel = stream === "stderr" ? `Line ${number}, stderr` : `Line ${number}`;
  return link;
}

function pieceOf({ text, classes, mark }) {
  if (!mark && !classes) return text;
  const element = made(mark ? "mark" : "span", classes);
  element.textContent = text;
  return element;
}

function time(at) {
  const element = made("span", "log-time");
  element.dataset.time = formatTime(at);
  element.title = at;
  return element;
}

function note(text, title = "") {
  const element = made("span", "log-note");
  element.dataset.note = text;
  element.title = title;
  return element;
}

function made(name, classes) {
  const element = document.createElement(name);
  if (classes) element.className = classes;
  return element;
}
