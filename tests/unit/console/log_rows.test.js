import assert from "node:assert/strict";
import { test } from "node:test";
import { LONGEST, missingRows, nextOf, rowsOf } from "../../../orchestrator/console/parts/log/rows.js";

const entry = (line, message, more = {}) => ({ line, stream: "stdout", message, timestamp: "2026-01-01T00:00:00Z", ...more });
const partial = { partial: true };

test("pieces are joined to lines, each stream on its own", () => {
  const rows = rowsOf([
    entry(1, "one"),
    entry(2, "be", partial),
    entry(2, "oops", { stream: "stderr" }),
    entry(3, "gun", partial),
    entry(3, ", done"),
  ]);
  assert.deepEqual(
    rows.map(({ number, first, stream, text }) => [number, first, stream, text]),
    [[1, 1, "stdout", "one"], [2, 2, "stderr", "oops"], [3, 2, "stdout", "begun, done"]],
  );
});

test("a line that has not ended is open, and is read again from its first piece", () => {
  const rows = rowsOf([entry(1, "one"), entry(2, "Password: ", partial), entry(2, "x", { stream: "stderr" })]);
  assert.deepEqual(rows.map((row) => [row.text, row.open]), [["one", false], ["x", false], ["Password: ", true]]);
  assert.equal(nextOf(rows, 1), 2);
  assert.equal(nextOf(rowsOf([entry(7, "x")]), 7), 8);
  assert.equal(nextOf([], 7), 7);
});

test("a progress bar is its last state", () => {
  const [row] = rowsOf([entry(1, " 10%\r", partial), entry(1, " 50%\r 60%\r", partial), entry(1, "100% done")]);
  assert.equal(row.text, "100% done");
  assert.equal(row.states, 3);
  assert.equal(rowsOf([entry(1, " 10%\r", partial)])[0].text, " 10%\r");
  assert.equal(rowsOf([entry(1, "done\r")])[0].text, "done");
});

test("a progress bar keeps the colour that an overwritten state set", () => {
  assert.equal(rowsOf([entry(1, "\x1b[32m10%\r20%")])[0].text, "\x1b[32m20%");
});

test("a progress bar of any length stays small", () => {
  const pieces = Array.from({ length: 2000 }, (_, at) => entry(1, `\x1b[32m${"=".repeat(99)}\x1b[0m ${at}\r`, partial));
  const [row] = rowsOf(pieces);
  assert.ok(row.text.length < 500, String(row.text.length));
  assert.equal(row.states, 1999);
  assert.equal(row.more, 0);
});

test("a very long line is cut, and tells how much more there is", () => {
  const [row] = rowsOf([entry(1, "x".repeat(16384), partial), entry(1, "y".repeat(16384), partial), entry(1, "z")]);
  assert.equal(row.text.length, LONGEST);
  assert.equal(row.more, 2 * 16384 + 1 - LONGEST);
});

test("a remark has no number, and stands where it was made", () => {
  const [, remark] = rowsOf([entry(1, "a"), entry(2, "output was lost here", { stream: "system", remark: "lost" })]);
  assert.deepEqual([remark.number, remark.first, remark.stream], [null, 2, "system"]);
});

test("a remark that the rest of a line is not shown stands below the line", () => {
  const remark = (line, message) => entry(line, message, { stream: "system", remark: "shortened" });
  const cut = rowsOf([entry(1, "before"), entry(2, "aaa", partial), remark(2, "the rest of this line is not shown here")]);
  assert.deepEqual(cut.map((row) => row.text), ["before", "aaa", "the rest of this line is not shown here"]);
  const begun = rowsOf([remark(2, "the beginning of this line is not shown here"), entry(2, "aaa"), entry(3, "after")]);
  assert.deepEqual(begun.map((row) => row.text), ["the beginning of this line is not shown here", "aaa", "after"]);
});

test("lines that the log does not have say so, each at its place", () => {
  const rows = missingRows(401, 600);
  assert.deepEqual([rows.length, rows[0].number, rows.at(-1).number], [200, 401, 600]);
  assert.ok(rows.every(({ text, open }) => text === "This line was not kept." && !open));
});
