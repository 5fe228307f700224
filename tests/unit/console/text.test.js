import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, count, inert, plural, shortId } from "../../../orchestrator/console/app/text.js";

test("direction overrides and controls are shown by their codes", () => {
  assert.equal(inert("a\u202egpj.exe"), "a⟨202E⟩gpj.exe");
  assert.equal(inert("\u001b[31mred"), "⟨001B⟩[31mred");
  assert.equal(inert("zero\u200bwidth"), "zero⟨200B⟩width");
  assert.equal(inert("two\nlines\tand <b>tags</b> Ünï"), "two\nlines\tand <b>tags</b> Ünï");
});

test("whatever cannot be seen is shown by its code", () => {
  const unseen = ["ad", "34f", "61c", "115f", "180e", "200d", "2028", "2060", "3164", "fe0f", "feff", "ffa0", "fff9", "e0041", "e0100"];
  for (const code of unseen) {
    assert.equal(inert(`a${String.fromCodePoint(parseInt(code, 16))}b`), `a⟨${code.toUpperCase().padStart(4, "0")}⟩b`);
  }
  assert.equal(inert("\u26a0\ufe0f ok"), "\u26a0\ufe0f ok"); // the picture of an emoji, and no other text
});

test("ids are shortened to what the command line accepts", () => {
  assert.equal(shortId("0192f0c1-2345-7abc-8def-0123456789ab"), "456789ab");
  assert.equal(shortId(undefined), "");
});

test("numbers", () => {
  assert.equal(plural(1, "job"), "1 job");
  assert.equal(plural(0, "job"), "0 jobs");
  assert.equal(plural(2, "entry", "entries"), "2 entries");
  assert.equal(count(1234567), "1\u202f234\u202f567");
  assert.equal(bytes(0), "0 bytes");
  assert.equal(bytes(1), "1 byte");
  assert.equal(bytes(1536), "1.5 KiB");
  assert.equal(bytes(500 * 1024 * 1024), "500 MiB");
});
