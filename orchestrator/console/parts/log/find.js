// Searching a log: by a text, and for what looks like an error. The service searches, so that it works on all of a log
// whatever part of it is in the page.
import { batch, signal } from "../../app/html.js";
import { plain } from "./ansi.js";
import { looksLikeError, SEARCHES } from "./errors.js";
import { rowsOf } from "./rows.js";

/** The most matches that one search collects. */
export const MOST_MATCHES = 5000;
const AT_ONCE = 1000;

/** A search for a text. `read` is as in output.js. */
export class Search {
  constructor(read, text, exact = false) {
    Object.assign(this, { read, text, exact });
    /** `{lines, done, more, searched, error}`: the numbers of the matching lines, whether the search is over, whether
     * there may be more matches than it collects, and up to which line it searched. */
    this.state = signal({ lines: [], done: false, more: false, searched: 0, error: null });
    /** Which of the matches is looked at, by its place in `lines`; null before the first. */
    this.at = signal(null);
    this.abort = new AbortController();
  }

  get line() {
    return this.at.value === null ? null : this.state.value.lines[this.at.value];
  }

  /** Search, to the end of the log. */
  async run() {
    const { signal: closed } = this.abort;
    const query = { q: this.text, case: this.exact ? "match" : "ignore", limit: AT_ONCE };
    let from = 1;
    try {
      while (from !== null && this.state.peek().lines.length < MOST_MATCHES) {
        const answer = await this.read({ ...query, from_line: from }, { signal: closed });
        const lines = [...this.state.peek().lines, ...rowsOf(answer.logs).flatMap((row) => row.number ?? [])];
        from = after(answer, from);
        batch(() => {
          this.change({ lines, searched: (from ?? 1) - 1 });
          if (this.at.peek() === null && lines.length > 0) this.at.value = 0;
        });
      }
      this.change({ done: true, more: from !== null });
    } catch (error) {
      if (!closed.aborted) this.change({ done: true, error });
    }
  }

  /** Go to the next match, or with -1 to the one before. After the last comes the first. */
  go(step) {
    const { length } = this.state.peek().lines;
    if (length > 0) this.at.value = ((this.at.peek() ?? (step > 0 ? -1 : 0)) + step + length) % length;
  }

  close() {
    this.abort.abort();
  }

  change(changes) {
    this.state.value = { ...this.state.peek(), ...changes };
  }
}

/** Look for the first line after line `line` that looks like an error. Returns `{error, stderr}`: its number, and that of
 * the first line on stderr; null where there is none. The searches go through the log side by side, so that an error near
 * its beginning is found near its beginning. `progress` is called with the line up to which all have searched, and the
 * first error so far. Raises a Problem. */
export async function nextError(read, line, { signal: abort, progress = () => {} } = {}) {
  const found = { error: null, stderr: null };
  let open = SEARCHES.map((query) => ({ query, from: line + 1 }));
  while (open.length > 0) {
    const search = open.reduce((last, one) => (one.from < last.from ? one : last));
    const answer = await read({ ...search.query, from_line: search.from, limit: AT_ONCE }, { signal: abort });
    const rows = rowsOf(answer.logs).filter((row) => row.number > line);
    const stderr = rows.find((row) => row.stream === "stderr")?.number;
    const error = rows.find((row) => looksLikeError(plain(row.text)))?.number;
    if (stderr !== undefined) found.stderr = Math.min(stderr, found.stderr ?? stderr);
    if (error !== undefined) found.error = Math.min(error, found.error ?? error);
    search.from = error === undefined ? after(answer, search.from) : null;
    open = open.filter(({ from }) => from !== null && (found.error === null || from < found.error));
    progress(open.length > 0 ? Math.min(...open.map(({ from }) => from)) : (found.error ?? line), found.error);
  }
  return found;
}

/** The same, of a log that is in the page as a whole. */
export function nextErrorIn(blocks, line) {
  const found = { error: null, stderr: null };
  for (const { rows, lines } of blocks) {
    for (const [at, { number, stream }] of rows.entries()) {
      if (number === null || number <= line) continue;
      if (stream === "stderr") found.stderr ??= number;
      if (looksLikeError(lines[at].map((piece) => piece.text).join(""))) return { ...found, error: number };
    }
  }
  return found;
}

/** The line with which a search goes on; null at the end. It only ever goes on. */
const after = ({ next_line: next }, from) => (next != null && next > from ? next : null);
