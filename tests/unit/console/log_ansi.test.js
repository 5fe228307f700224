import assert from "node:assert/strict";
import { test } from "node:test";
import { marked, paint, patternOf, stylesIn } from "../../../orchestrator/console/parts/log/ansi.js";

const line = (text, styles) => paint([{ stream: "stdout", text }], styles).lines[0];
const shown = (text) => line(text).map((piece) => piece.text).join("");

test("text without sequences is one piece", () => {
  assert.deepEqual(line("plain <b>"), [{ text: "plain <b>", classes: "" }]);
  assert.deepEqual(line(""), []);
});

test("sequences become classes", () => {
  assert.deepEqual(line("\x1b[1;31mred\x1b[0m then \x1b[42mground"), [
    { text: "red", classes: "ansi-bold ansi-red-fg" },
    { text: " then ", classes: "" },
    { text: "ground", classes: "ansi-green-bg" },
  ]);
});

test("colours beyond the 16 become the nearest of them", () => {
  assert.equal(line("\x1b[38;5;196mx")[0].classes, "ansi-bright-red-fg".replace("bright-", ""));
  assert.equal(line("\x1b[38;2;250;250;250mx")[0].classes, "ansi-white-fg");
  assert.equal(line("\x1b[38:2::0:0:180mx")[0].classes, "ansi-blue-fg");
  assert.equal(line("\x1b[48:5:2mx")[0].classes, "ansi-green-bg");
  assert.equal(line("\x1b[4:3mx")[0].classes, "ansi-underline");
});

test("a style goes on in the next line of its stream alone", () => {
  const { lines, styles } = paint([
    { stream: "stdout", text: "\x1b[31mone" },
    { stream: "stderr", text: "other" },
    { stream: "stdout", text: "two" },
  ]);
  assert.deepEqual(lines.map((pieces) => pieces[0].classes), ["ansi-red-fg", "", "ansi-red-fg"]);
  assert.equal(line("three", styles)[0].classes, "ansi-red-fg");
  assert.equal(line("\x1b[0mfour", styles)[0].classes, "");
});

test("sequences that are not styles disappear, their texts too", () => {
  assert.equal(shown("\x1b]0;title\x07a\x1b[2Kb\x1b[?25lc\x1b(Bd\x1b7e\x1bMf"), "abcdef");
  assert.equal(shown("\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\"), "link");
  assert.equal(shown("\x1bPq#0\x1b\\x\x1b_secret\x1b\\y"), "xy");
});

test("what is not a whole sequence is shown, and cannot act", () => {
  assert.equal(shown("a\x1b[1;2"), "a⟨001B⟩[1;2");
  assert.equal(shown("\x1b]0;no end"), "0;no end");
  assert.equal(shown("x\u202egnp.exe\u0007\u0000\u0085"), "x⟨202E⟩gnp.exe⟨0007⟩⟨0000⟩⟨0085⟩");
  assert.equal(shown("<img src=x onerror=alert(1)>"), "<img src=x onerror=alert(1)>");
});

test("hostile lines take linear time", () => {
  const began = performance.now();
  for (const part of ["\x1b]8;", "\x1b[", "\x1b[1;", "\x1b]8;;x\x1b\\", "\x1bP", "\x1b[38:2:"]) line(part.repeat(4000));
  assert.ok(performance.now() - began < 1500, `${performance.now() - began} ms`);
});

test("only the styles since the last reset are kept of a text", () => {
  assert.equal(stylesIn("\x1b[31ma\x1b[0mb\x1b[1mc"), "\x1b[0m\x1b[1m");
  assert.equal(stylesIn("none"), "");
  assert.ok(stylesIn("\x1b[31m".repeat(1000)).length < 100);
});

test("matches are marked across pieces", () => {
  const pieces = line("an \x1b[31mErr\x1b[0mor here, error");
  const marks = marked(pieces, patternOf("error", false));
  assert.deepEqual(marks.filter((piece) => piece.mark).map((piece) => piece.text), ["Err", "or", "error"]);
  assert.equal(marks.map((piece) => piece.text).join(""), "an Error here, error");
  assert.equal(marked(pieces, patternOf("absent", false)), pieces);
  assert.equal(marked(line("a.c abc"), patternOf("a.c", true)).filter((piece) => piece.mark).length, 1);
});
