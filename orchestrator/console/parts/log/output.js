// The output of one execution: what the page has read of it, and reading more.
//
// Reading is by line numbers and may be repeated, so that nothing has to be remembered between two requests: blocks that
// somebody looks at are read when they are missing, and the end of a running execution is read again and again.
import { batch, signal } from "../../app/html.js";
import { BLOCK, Blocks, blockOf } from "./blocks.js";
import { nextOf, rowsOf } from "./rows.js";

/** The most lines that one request returns. */
export const PAGE = 5000;
/** The lines that are read first. */
const FIRST = 1000;
/** Milliseconds between two reads of the end: after new output, and at most. */
const SOON = 300;
const LATER = 2000;
const LONGEST_PAUSE = 15_000;
/** Lines behind which the page does not read all that was written in between. */
const FAR = 4 * BLOCK;

/** `read(query, {signal})` asks for lines: `{logs, next_line, lines, bytes, running, truncated, expired}`. */
export class Output {
  constructor(read, { most } = {}) {
    this.read = read;
    this.blocks = new Blocks(most);
    /** Rises with every change of the blocks. */
    this.version = signal(0);
    /** `{lines, bytes, running, truncated, expired}`; null before the first answer. */
    this.facts = signal(null);
    /** The Problem of the last request; null if it was answered. */
    this.error = signal(null);
    this.end = 1; // the line from which to read on once more is written
    this.wanted = null;
    this.loading = false;
    this.abort = new AbortController();
  }

  /** Read the beginning, and follow the end while the execution runs. Ends when that is over, or with `close`. */
  async open() {
    const { signal: closed } = this.abort;
    let pause = SOON;
    while (!closed.aborted && (this.facts.peek()?.running ?? true)) {
      try {
        const grew = await this.readEnd();
        pause = grew ? SOON : Math.min(LATER, pause * 1.5);
      } catch (error) {
        if (closed.aborted) return;
        this.error.value = error;
        if (error.status >= 400 && error.status < 500 && error.status !== 429) return;
        pause = Math.min(LONGEST_PAUSE, Math.max(LATER, pause * 2));
      }
      if (this.facts.peek()?.running ?? true) await waited(pause, closed);
    }
  }

  close() {
    this.abort.abort();
  }

  /** Read what was written since. Returns whether there was anything. */
  async readEnd() {
    const before = this.facts.peek();
    const { rows, next } = await this.readFrom(this.end, before ? PAGE : FIRST);
    const { lines } = this.facts.peek();
    if (next === null) this.end = nextOf(rows, this.end);
    else if (lines - next > FAR) this.end = blockOf(lines) * BLOCK + 1;
    else this.end = next;
    return lines !== before?.lines || rows.some((row) => row.open && row.text.length > 0);
  }

  /** Have these blocks read, if they are not here, from block `near` on and then those before it. Another call replaces
   * what this one wants. */
  want(first, last, near = first) {
    this.wanted = { first, last, near };
    if (!this.loading) this.load();
  }

  async load() {
    this.loading = true;
    try {
      for (let gap = this.missing(); gap && !this.abort.signal.aborted; gap = this.missing()) {
        const { upTo } = await this.readFrom(gap.from, gap.limit);
        if (upTo < gap.from) return; // not written yet
      }
    } catch (error) {
      if (!this.abort.signal.aborted) this.error.value = error;
    } finally {
      this.loading = false;
    }
  }

  /** All blocks, if all of them are here; else null. */
  all() {
    const { lines } = this.facts.peek() ?? { lines: 0 };
    const blocks = Array.from({ length: blockOf(lines) + 1 }, (_, index) => this.blocks.at(index));
    return blocks.every((block) => block && this.blocks.has(block.index, lines)) ? blocks : null;
  }

  /** The next lines that are wanted and not here, as `{from, limit}`; null if there are none. */
  missing() {
    const facts = this.facts.peek();
    if (!this.wanted || !facts) return null;
    const { first, near } = this.wanted;
    const last = Math.min(this.wanted.last, blockOf(facts.lines));
    return this.gap(Math.min(near, last), last) ?? this.gap(first, Math.min(near - 1, last));
  }

  /** The first lines of these blocks that are not here. */
  gap(first, last) {
    const { lines, running } = this.facts.peek();
    const lacks = (index) => !this.blocks.has(index, running ? Math.min(lines, this.end - 1) : lines);
    for (let index = first; index <= last; index += 1) {
      if (!lacks(index)) continue;
      let end = index;
      while (end < last && lacks(end + 1) && (end + 2 - index) * BLOCK <= PAGE) end += 1;
      const from = Math.max(index * BLOCK, this.blocks.at(index)?.upTo ?? 0) + 1;
      return { from, limit: (end + 1) * BLOCK - from + 1 };
    }
    return null;
  }

  /** Read `limit` lines from `from` on, and keep them. Returns their rows, the last line that is known now, and the line
   * to go on with, null at the end. */
  async readFrom(from, limit) {
    const answer = await this.read({ from_line: from, limit }, { signal: this.abort.signal });
    const before = this.facts.peek();
    const rows = rowsOf(answer.logs);
    const next = answer.next_line ?? null;
    const last = rows.reduce((most, row) => Math.max(most, row.number ?? 0), from - 1);
    const known = next === null ? Math.max(last, answer.running ? 0 : answer.lines ?? 0) : next - 1;
    const upTo = Math.min(known, from + limit - 1);
    const end = Math.max(from, upTo);
    batch(() => {
      this.error.value = null;
      if (rows.length > 0 || upTo >= from) {
        this.blocks.put(from, end, rows.filter((row) => (row.number ?? row.first) <= end));
        this.version.value += 1;
      }
      this.facts.value = {
        lines: Math.max(answer.lines ?? 0, last, before?.lines ?? 0),
        bytes: answer.bytes,
        running: answer.running,
        truncated: answer.truncated,
        expired: answer.expired,
      };
    });
    return { rows, upTo, next };
  }
}

/** Wait until the time is over and the tab is visible, or `signal` is aborted. */
function waited(ms, abort) {
  return new Promise((resolve) => {
    let over = false;
    const look = () => {
      if (!abort.aborted && (!over || globalThis.document?.visibilityState === "hidden")) return;
      clearTimeout(timer);
      globalThis.document?.removeEventListener("visibilitychange", look);
      resolve();
    };
    const timer = setTimeout(() => ((over = true), look()), ms);
    globalThis.document?.addEventListener("visibilitychange", look);
    abort.addEventListener("abort", look, { once: true });
  });
}
