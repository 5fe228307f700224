import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK, Blocks } from "../../../orchestrator/console/parts/log/blocks.js";
import { Output, PAGE } from "../../../orchestrator/console/parts/log/output.js";

// Node 18 takes the names of the timers alone.
function mockTimeouts({ mock: { timers } }) {
  timers.enable(process.versions.node.startsWith("18.") ? ["setTimeout"] : { apis: ["setTimeout"] });
}

const at = "2026-01-01T00:00:00Z";
const row = (number, text = `line ${number}`) => ({ number, first: number, stream: "stdout", text, at, open: false });
const rowsFrom = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => row(from + index));

/** A log of `count` lines behind the route's query parameters, which notes its requests. */
function served(count, { running = false, most = PAGE } = {}) {
  const log = { count, running, asked: [], entry: (line) => ({ line, stream: "stdout", message: `line ${line}`, timestamp: at }) };
  log.read = async ({ from_line: from, limit }) => {
    log.asked.push([from, limit]);
    const to = Math.min(log.count, from + Math.min(limit, most) - 1);
    const logs = Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => log.entry(from + index));
    return { logs, next_line: to < log.count ? to + 1 : null, lines: log.count, bytes: 10 * log.count, running: log.running };
  };
  return log;
}

const texts = (output, index) => output.blocks.at(index)?.rows.map((one) => one.text);
const settled = async (output) => { while (output.loading) await new Promise(setImmediate); };

test("blocks take rows where they belong, and what is read again replaces what was there", () => {
  const blocks = new Blocks();
  blocks.put(1, 250, rowsFrom(1, 250));
  assert.deepEqual([blocks.at(0).rows.length, blocks.at(1).rows.length, blocks.at(1).upTo], [BLOCK, 50, 250]);
  assert.ok(blocks.has(0, 250) && blocks.has(1, 250) && !blocks.has(1, 251));
  blocks.put(250, 252, [row(250, "again"), row(251), row(252)]);
  assert.deepEqual(blocks.at(1).rows.slice(-3).map((one) => one.text), ["again", "line 251", "line 252"]);
});

test("a block without its first lines is not kept", () => {
  const blocks = new Blocks();
  blocks.put(390, 410, rowsFrom(390, 410));
  assert.equal(blocks.at(1), undefined);
  assert.deepEqual(blocks.at(2).rows.map((one) => one.number), rowsFrom(401, 410).map((one) => one.number));
});

test("a style goes on from one block to the next", () => {
  const blocks = new Blocks();
  blocks.put(1, 201, [...rowsFrom(1, 199), row(200, "\x1b[31mred"), row(201, "still red")]);
  assert.equal(blocks.at(1).lines[0][0].classes, "ansi-red-fg");
});

test("the least recently needed blocks are forgotten", () => {
  const blocks = new Blocks({ blocks: 3, characters: 1e9 });
  for (const index of [0, 1, 2]) blocks.put(index * BLOCK + 1, (index + 1) * BLOCK, rowsFrom(index * BLOCK + 1, (index + 1) * BLOCK));
  blocks.touch(0);
  blocks.put(601, 800, rowsFrom(601, 800));
  assert.deepEqual([0, 1, 2, 3].map((index) => blocks.at(index) !== undefined), [true, false, true, true]);
});

test("a short log is one request", async () => {
  const log = served(3);
  const output = new Output(log.read);
  await output.open();
  assert.deepEqual(log.asked.length, 1);
  assert.deepEqual(texts(output, 0), ["line 1", "line 2", "line 3"]);
  assert.deepEqual([output.facts.value.lines, output.facts.value.running], [3, false]);
  output.want(0, 0);
  await settled(output);
  assert.equal(log.asked.length, 1);
});

test("only the wanted blocks of a long log are read, each once", async () => {
  const log = served(1_000_000);
  const output = new Output(log.read);
  await output.open();
  output.want(4990, 4999);
  await settled(output);
  assert.deepEqual(log.asked, [[1, 1000], [998_001, 2000]]);
  output.want(4988, 4999);
  await settled(output);
  assert.deepEqual(log.asked.at(-1), [997_601, 400]);
  assert.equal(texts(output, 4999).at(-1), "line 1000000");
});

test("the blocks that are seen are read before those above them", async () => {
  const log = served(9000);
  const output = new Output(log.read);
  await output.open();
  output.want(0, 44, 43);
  await settled(output);
  assert.deepEqual(log.asked, [[1, 1000], [8601, 400], [1001, 5000], [6001, 2600]]);
  assert.equal(output.all().length, 45);
});

test("what a response could not hold is read with the next one", async () => {
  const log = served(900, { most: 70 });
  const output = new Output(log.read);
  await output.open();
  output.want(0, 4);
  await settled(output);
  assert.deepEqual(output.blocks.at(4).upTo, 900);
  assert.equal(texts(output, 2).length, BLOCK);
});

test("lines that are missing from the log are not asked for again", async () => {
  const log = served(1_000_000);
  const output = new Output(async (query) => {
    const answer = await log.read(query);
    return { ...answer, logs: answer.logs.filter(({ line }) => line <= 100 || line > 900_000) };
  });
  await output.open();
  output.want(10, 12);
  await settled(output);
  assert.deepEqual(texts(output, 11), []);
  const asked = log.asked.length;
  output.want(10, 12);
  await settled(output);
  assert.equal(log.asked.length, asked);
});

test("the end of a running log is read on from its first open line, until it is over", async (t) => {
  mockTimeouts(t);
  const log = served(2, { running: true });
  log.entry = (line) => ({ line, stream: "stdout", message: line === 2 && log.running ? "Passw" : `line ${line}`, timestamp: at,
    partial: line === 2 && log.running }); // prettier-ignore
  const output = new Output(log.read);
  const opened = output.open();
  while (output.facts.peek() === null) await new Promise(setImmediate);
  assert.deepEqual(texts(output, 0), ["line 1", "Passw"]);
  Object.assign(log, { count: 3, running: false });
  t.mock.timers.tick(2000);
  await opened;
  assert.deepEqual(log.asked, [[1, 1000], [2, PAGE]]);
  assert.deepEqual(texts(output, 0), ["line 1", "line 2", "line 3"]);
});

test("a flood of output is not read line by line", async (t) => {
  mockTimeouts(t);
  const log = served(10, { running: true });
  const output = new Output(log.read);
  const opened = output.open();
  while (output.facts.peek() === null) await new Promise(setImmediate);
  log.count = 5_000_000;
  t.mock.timers.tick(2000);
  while (output.facts.peek().lines < log.count) await new Promise(setImmediate);
  log.running = false;
  await new Promise(setImmediate);
  t.mock.timers.tick(2000);
  await opened;
  assert.deepEqual(log.asked.map(([from]) => from), [1, 11, 4_999_801]);
});

test("an error is kept until an answer comes, and the page goes on", async (t) => {
  mockTimeouts(t);
  const log = served(1);
  let away = true;
  const output = new Output(async (query) => {
    if (away) throw Object.assign(new Error("away"), { status: 503 });
    return log.read(query);
  });
  const opened = output.open();
  while (output.error.peek() === null) await new Promise(setImmediate);
  away = false;
  await new Promise(setImmediate);
  t.mock.timers.tick(20_000);
  await opened;
  assert.deepEqual([output.error.value, output.facts.value.lines], [null, 1]);
});
