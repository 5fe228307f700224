// Rows: the lines that a person sees, made of the entries of a log. Pure.
//
// An entry is a line or a piece of one. A row is a whole line: `{number, first, stream, text, at, open, states, more}`,
// or a remark of the platform, whose stream is "system" and which has no number. `first` is the number that the row's
// first piece had, and differs from `number` if the other stream ended a line in between. `open` is true while the
// line is not complete. `states` counts the earlier texts that a progress bar overwrote with the help of CR. `more` is
// the number of characters that are left out of a very long line.
import { stylesIn } from "./ansi.js";

/** The most characters of a line that are shown. */
export const LONGEST = 20_000;

/** Entries (each with its line number in `line`) as rows, in the order in which the lines ended; open ones at last. */
export function rowsOf(entries) {
  const rows = [];
  const cuts = []; // remarks about the rest of a line that does not end here: they stand below it
  const open = new Map();
  for (const entry of entries) {
    if (entry.stream === "system") {
      const cut = entry.remark === "shortened" && [...open.values()].some((row) => row.number === entry.line);
      (cut ? cuts : rows).push(remark(entry));
      continue;
    }
    const row = open.get(entry.stream) ?? begun(entry);
    extend(row, entry);
    if (entry.partial) {
      open.set(entry.stream, row);
    } else {
      open.delete(entry.stream);
      rows.push(closed(row));
    }
  }
  return [...rows, ...open.values(), ...cuts];
}

/** Rows for the lines `from` to `to`, none of which the log has: each says so at its place, as high as any other row. */
export function missingRows(from, to) {
  return Array.from({ length: to - from + 1 }, (_, at) => ({
    ...begun({ line: from + at, stream: "system", timestamp: null }),
    text: "This line was not kept.",
    open: false,
  }));
}

/** The line from which to read again once more was written: that of the first open row, or the one after the last. */
export function nextOf(rows, before) {
  const open = rows.filter((row) => row.open).map((row) => row.first);
  if (open.length > 0) return Math.min(...open);
  return rows.reduce((last, row) => Math.max(last, row.number ?? 0), before - 1) + 1;
}

function begun({ line, stream, timestamp }) {
  return { number: line, first: line, stream, text: "", at: timestamp, open: true, states: 0, more: 0 };
}

const remark = ({ line, message, timestamp }) => ({
  ...begun({ line, stream: "system", timestamp }),
  number: null,
  text: message,
  open: false,
});

function extend(row, { line, message }) {
  row.number = line;
  row.text += message;
  if (row.text.includes("\r")) overwrite(row);
  if (row.text.length > LONGEST) {
    row.more += row.text.length - LONGEST;
    row.text = row.text.slice(0, LONGEST);
  }
}

/** Keep what a terminal shows last: the text after the last CR. A CR at the end overwrites only once more text comes. */
function overwrite(row) {
  const ends = row.text.match(/\r*$/)[0].length;
  const text = ends ? row.text.slice(0, -ends) : row.text;
  const at = text.lastIndexOf("\r");
  if (at >= 0) {
    const before = text.slice(0, at);
    row.states += before.split(/\r+/).filter((state) => state !== "").length;
    row.text = stylesIn(before) + text.slice(at + 1) + (ends ? "\r" : "");
    row.more = 0;
  }
}

function closed(row) {
  row.open = false;
  row.text = row.text.replace(/\r+$/, "");
  return row;
}
