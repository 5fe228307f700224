import assert from "node:assert/strict";
import { test } from "node:test";
import { LINE_HEIGHT } from "../../../orchestrator/console/parts/log/block.js";
import { BLOCK } from "../../../orchestrator/console/parts/log/blocks.js";
import { LongScroll } from "../../../orchestrator/console/parts/log/long_scroll.js";

const VIEW = 600;
const HEIGHT = BLOCK * LINE_HEIGHT;

/** A scroll over blocks without rows, as they are before they are read: `blocks` of them in the page. */
function scrollOver(blocks) {
  const box = { clientHeight: VIEW, scrollTop: 0 };
  const content = { parentElement: { style: {} }, style: {}, offsetHeight: blocks * HEIGHT, getBoundingClientRect: () => ({ top: 0 }) };
  content.children = Array.from({ length: blocks }, (_, at) => ({
    getBoundingClientRect: () => ({ top: at * HEIGHT, bottom: (at + 1) * HEIGHT }),
    querySelectorAll: () => [],
  }));
  return new LongScroll(box, content, { moved: () => {}, wanted: () => {} });
}

test("a line of a block that is in the page is where the block's lines are", () => {
  const scroll = scrollOver(3);
  Object.assign(scroll, { lines: 5_000_001, range: [10, 12] });
  assert.equal(scroll.offsetOf(10 * BLOCK + 1), 0);
  assert.equal(scroll.offsetOf(11 * BLOCK + 51), HEIGHT + 50 * LINE_HEIGHT);
});

test("a jump to a line far away leaves the blocks of before within reach", (t) => {
  const scroll = scrollOver(3);
  t.after(() => scroll.stop());
  scroll.resize(5_000_001);
  scroll.range = [700, 702];
  scroll.show(5_000_001);
  scroll.place(false);
  assert.ok(Math.abs(scroll.y - scroll.placed) <= 3 * HEIGHT + VIEW, String(scroll.y - scroll.placed));
  scroll.range = [4_000, 4_002];
  scroll.show(1);
  scroll.place(false);
  assert.ok(Math.abs(scroll.y - scroll.placed) <= 3 * HEIGHT + VIEW, String(scroll.y - scroll.placed));
});
