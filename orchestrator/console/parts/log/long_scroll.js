// Scrolling in a log that is longer than the page could hold: keeps the few blocks that are in the page where the scroll
// bar says they are. `scroll.js` has the arithmetic, `long_view.js` the blocks.
//
// The person's place is a line and the pixels of it that are above the upper edge (the anchor). A small movement moves
// the anchor over the real heights of the lines, whatever they are; a large one goes to the line for which the scroll
// bar stands. Once the movement is over, the scroll bar is put where the anchor belongs.
import { BLOCK, blockOf } from "./blocks.js";
import { LINE_HEIGHT } from "./block.js";
import { blocksAround, lineAt, topOf, track } from "./scroll.js";
import { firstBelow } from "./whole_view.js";

/** Milliseconds without a movement after which it is over, in browsers that do not tell. */
const OVER = 150;

export class LongScroll {
  /** `box` scrolls, `content` in it has the blocks. `moved({following, top})` and `wanted([first, last])` are called with
   * the person's place and the blocks that are to be in the page. */
  constructor(box, content, { moved, wanted }) {
    Object.assign(this, { box, content, moved, wanted });
    this.lines = 1;
    this.anchor = { line: 1, above: 0 };
    this.range = null;
    this.y = 0; // where the content stands on the track
    this.placed = 0; // the scrollTop that was seen or set last
    this.moving = false;
    this.timer = null;
  }

  /** The log has this many lines now. */
  resize(lines) {
    this.lines = lines;
    this.content.parentElement.style.height = `${this.track().height}px`;
  }

  /** Go to a line, a third below the upper edge. */
  show(line) {
    this.anchor = { line: Math.min(Math.max(1, line), this.lines), above: -Math.floor(this.box.clientHeight / 3) };
    this.scrollTo(topOf(this.track(), this.anchor.line + this.anchor.above / LINE_HEIGHT));
    this.update();
  }

  toEnd() {
    this.anchor = { line: this.lines, above: 0 };
    this.scrollTo(this.track().most);
    this.update();
  }

  /** Put the content where the anchor is. Called whenever the content has changed. */
  place(following) {
    const { box, content } = this;
    const [view, height] = [box.clientHeight, content.offsetHeight];
    let y = following ? this.placed + view - height : this.placed - this.anchor.above - this.offsetOf(this.anchor.line);
    if (this.hasLast() && y + height < this.placed + view) y = this.placed + view - height;
    if (this.hasFirst() && y > this.placed) y = this.placed;
    this.move(y);
    if (!this.moving) this.settle(); // the heights may be others than before
  }

  onScroll() {
    const top = this.box.scrollTop;
    if (Math.abs(top - this.placed) < 1) return;
    this.placed = top;
    this.moving = true;
    const seen = top < this.y + this.content.offsetHeight && top + this.box.clientHeight > this.y;
    if (seen) {
      this.anchor = this.anchorAt(top);
      this.update();
    } else {
      const line = lineAt(this.track(), top);
      this.anchor = { line: Math.floor(line), above: (line % 1) * LINE_HEIGHT };
      this.update();
      this.place(false);
    }
    clearTimeout(this.timer);
    if (!("onscrollend" in window)) this.timer = setTimeout(() => this.settle(), OVER);
    this.tell();
  }

  /** The movement is over: put the scroll bar where the anchor belongs. */
  settle() {
    const { box, content } = this;
    if (!this.holds(this.anchor.line)) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.settle(), OVER); // once the blocks there are in the page
      return;
    }
    this.moving = false;
    const above = this.placed - this.y;
    const below = this.y + content.offsetHeight - this.placed - box.clientHeight;
    const track = this.track();
    let top = topOf(track, this.anchor.line + this.anchor.above / LINE_HEIGHT);
    if (this.hasFirst()) top = above;
    else if (this.hasLast()) top = track.most - below;
    top = Math.min(track.most, Math.max(0, top));
    if (Math.abs(top - this.placed) < 1) {
      if (this.atEnd()) this.tell(); // without a movement, as after a jump to one of the last lines
      return;
    }
    const y = this.y + top - this.placed;
    this.scrollTo(top);
    this.move(y);
    this.tell();
  }

  stop() {
    clearTimeout(this.timer);
  }

  tell() {
    this.moved({ following: this.atEnd(), top: this.anchor.line });
  }

  atEnd() {
    const below = this.y + this.content.offsetHeight - this.placed - this.box.clientHeight;
    return this.hasLast() && below < 8;
  }

  update() {
    const seen = Math.ceil(this.box.clientHeight / LINE_HEIGHT);
    this.wanted(blocksAround(this.anchor.line, seen, { lines: this.lines, size: BLOCK, spare: BLOCK }));
  }

  track() {
    return track(this.lines, LINE_HEIGHT, this.box.clientHeight);
  }

  scrollTo(top) {
    this.box.scrollTop = top;
    this.placed = this.box.scrollTop; // the browser rounds
  }

  move(y) {
    this.y = y;
    this.content.style.transform = `translateY(${y}px)`;
  }

  holds(line) {
    return this.range !== null && this.range[0] <= blockOf(line) && blockOf(line) <= this.range[1];
  }

  hasFirst() {
    return this.holds(1);
  }

  hasLast() {
    return this.holds(this.lines);
  }

  /** The pixels from the content's upper edge to a line; to the nearest one that is in the content, if that line is not.
   * Browsers limit how far away an element can be, so that the content must not be put millions of lines away. */
  offsetOf(line) {
    const [first, last] = this.range ?? [0, 0];
    const index = Math.min(Math.max(blockOf(line), first), last);
    const block = this.content.children[index - first];
    if (!block) return 0;
    const top = block.getBoundingClientRect().top - this.content.getBoundingClientRect().top;
    const rows = block.querySelectorAll("[data-line]");
    const before = Math.min(Math.max(0, line - index * BLOCK - 1), BLOCK);
    if (rows.length === 0) return top + before * LINE_HEIGHT;
    const row = [...rows].find((one) => Number(one.dataset.line) >= line) ?? rows[rows.length - 1];
    return row.getBoundingClientRect().top - this.content.getBoundingClientRect().top;
  }

  /** The line at the upper edge, when the scroll bar is at `top`. */
  anchorAt(top) {
    const edge = this.content.getBoundingClientRect().top + top - this.y;
    const [first] = this.range ?? [0, 0];
    const at = firstBelow(this.content.children, edge);
    const rows = this.content.children[at]?.querySelectorAll("[data-line]") ?? [];
    if (rows.length === 0) {
      const begin = (first + at) * BLOCK + 1;
      const above = edge - (this.content.children[at]?.getBoundingClientRect().top ?? edge);
      const line = begin + Math.max(0, Math.floor(above / LINE_HEIGHT));
      return { line, above: above - (line - begin) * LINE_HEIGHT };
    }
    const row = rows[firstBelow(rows, edge)];
    return { line: Number(row.dataset.line), above: edge - row.getBoundingClientRect().top };
  }
}
