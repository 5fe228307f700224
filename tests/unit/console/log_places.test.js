import assert from "node:assert/strict";
import { test } from "node:test";
import { looksLikeError } from "../../../orchestrator/console/parts/log/errors.js";
import { chosen, fragmentOf, linesIn } from "../../../orchestrator/console/parts/log/hash.js";
import { blocksAround, EDGE, lineAt, TALLEST, topOf, track } from "../../../orchestrator/console/parts/log/scroll.js";

test("a fragment names a line or a range", () => {
  assert.deepEqual(linesIn("#L120"), { from: 120, to: 120 });
  assert.deepEqual(linesIn("#L140-L120"), { from: 120, to: 140 });
  assert.deepEqual(linesIn(" 120-140 "), { from: 120, to: 140 });
  for (const other of ["", "#", "#top", "#L0", "#L1-", "L1-L0", "#L9999999999999", null]) assert.equal(linesIn(other), null);
  assert.equal(fragmentOf({ from: 3, to: 3 }), "#L3");
  assert.equal(fragmentOf({ from: 3, to: 9 }), "#L3-L9");
  assert.equal(fragmentOf(null), "");
});

test("choosing with shift extends the range", () => {
  assert.deepEqual(chosen(null, 5, true), { from: 5, to: 5 });
  assert.deepEqual(chosen({ from: 5, to: 5 }, 9, true), { from: 5, to: 9 });
  assert.deepEqual(chosen({ from: 5, to: 9 }, 2, true), { from: 2, to: 5 });
  assert.deepEqual(chosen({ from: 5, to: 9 }, 2, false), { from: 2, to: 2 });
});

test("a track of real pixels shows each line where it is", () => {
  const small = track(1000, 20, 500);
  assert.deepEqual([small.height, small.most], [20_000, 19_500]);
  assert.equal(lineAt(small, 0), 1);
  assert.equal(lineAt(small, 200), 11);
  assert.equal(lineAt(small, 19_500), 976); // 25 lines are seen
  assert.equal(topOf(small, 11), 200);
});

test("a track of a log of any length is limited, and reaches both ends", () => {
  const long = track(50_000_000, 20, 600);
  assert.equal(long.height, TALLEST);
  assert.equal(lineAt(long, 0), 1);
  assert.equal(lineAt(long, long.most), 50_000_000 - 30 + 1);
  assert.equal(lineAt(long, 2 * TALLEST), lineAt(long, long.most));
  assert.equal(lineAt(long, 2000), 101); // near the ends, pixels are real
  assert.equal(lineAt(long, long.most - 2000), lineAt(long, long.most) - 100);
  for (const at of [EDGE, long.most - EDGE]) assert.ok(Math.abs(lineAt(long, at - 1) - lineAt(long, at + 1)) < 10);
  for (const line of [1, 2, 777_777, 49_999_000]) assert.ok(Math.abs(lineAt(long, topOf(long, line)) - line) < 0.01);
});

test("a log that fits does not scroll", () => {
  const short = track(3, 20, 600);
  assert.deepEqual([short.height, short.most, lineAt(short, 0), topOf(short, 3)], [600, 0, 1, 0]);
});

test("the blocks around what is seen", () => {
  const log = { lines: 10_000, size: 200, spare: 200 };
  assert.deepEqual(blocksAround(1, 30, log), [0, 1]);
  assert.deepEqual(blocksAround(5000, 30, log), [23, 26]);
  assert.deepEqual(blocksAround(9990, 30, log), [48, 49]);
  assert.deepEqual(blocksAround(1, 30, { ...log, lines: 0 }), [0, 0]);
});

test("errors are told from what only mentions them", () => {
  const errors = [
    "ERROR: disk full", "error[E0308]: mismatched types", "Traceback (most recent call last):", "ValueError: no such thing",
    "java.lang.NullPointerException", "panic: runtime error", "thread 'main' panicked at src/main.rs:1", "npm ERR! code 1",
    "fatal: not a git repository", "sh: foo: command not found", "cat: x: No such file or directory", "FAILED tests/test_a.py",
  ]; // prettier-ignore
  const others = [
    "0 errors", "no error", "12 passed, 0 failed", "errors: 0", "failed=0", "terror", "all good", "without errors",
    "--error-on-warning", "errors=none",
  ]; // prettier-ignore
  for (const text of errors) assert.ok(looksLikeError(text), text);
  for (const text of others) assert.ok(!looksLikeError(text), text);
});
