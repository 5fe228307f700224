// The part of a log that the page holds: blocks of rows, the least recently used of which it forgets. Pure.
import { paint } from "./ansi.js";

/** Lines of a block. */
export const BLOCK = 200;
/** The most blocks, and the most characters, that are kept. */
export const MOST = { blocks: 150, characters: 32_000_000 };

/** The index of the block that has a line. */
export const blockOf = (line) => Math.max(0, Math.floor((line - 1) / BLOCK));

/** Blocks by index, each `{index, rows, lines, upTo, size, version, styles}`: `lines` are the pieces of each row, and
 * the block's lines are known up to the line `upTo`. */
export class Blocks {
  constructor(most = MOST) {
    this.most = most;
    this.known = new Map();
    this.characters = 0;
    this.versions = 0;
  }

  /** A block; undefined if it is not here. */
  at(index) {
    return this.known.get(index);
  }

  /** Whether all lines of a block up to line `end` are here. */
  has(index, end) {
    const last = Math.min((index + 1) * BLOCK, end);
    return (this.known.get(index)?.upTo ?? index * BLOCK) >= last;
  }

  /** Note that a block is needed, so that it is kept. */
  touch(index) {
    const block = this.known.get(index);
    if (block) this.known.delete(index), this.known.set(index, block);
    return block;
  }

  /** Put the rows of the lines `from` to `upTo` where they belong, instead of those that were there. A block gets them
   * only if its earlier lines are known. */
  put(from, upTo, rows) {
    const byBlock = new Map();
    for (const row of rows) {
      const index = blockOf(Math.min(Math.max(row.number ?? row.first, from), upTo));
      if (!byBlock.has(index)) byBlock.set(index, []);
      byBlock.get(index).push(row);
    }
    for (let index = blockOf(from); index <= blockOf(upTo); index += 1) {
      this.extend(index, from, Math.min(upTo, (index + 1) * BLOCK), byBlock.get(index) ?? []);
    }
    this.forget();
  }

  extend(index, from, upTo, rows) {
    const before = this.known.get(index);
    const begin = Math.max(from, index * BLOCK + 1);
    if ((before?.upTo ?? index * BLOCK) < begin - 1) return;
    const kept = (before?.rows ?? []).filter((row) => (row.number ?? row.first) < begin);
    const all = [...kept, ...rows];
    const { lines, styles } = paint(all, this.known.get(index - 1)?.styles);
    const size = all.reduce((sum, row) => sum + row.text.length, 0);
    this.characters += size - (before?.size ?? 0);
    this.versions += 1;
    this.known.delete(index);
    this.known.set(index, { index, rows: all, lines, styles, size, upTo, version: this.versions });
  }

  forget() {
    for (const [index, block] of this.known) {
      if (this.known.size <= 2) return;
      if (this.known.size <= this.most.blocks && this.characters <= this.most.characters) return;
      this.known.delete(index);
      this.characters -= block.size;
    }
  }
}
