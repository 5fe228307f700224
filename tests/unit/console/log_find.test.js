import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_MATCHES, nextError, nextErrorIn, Search } from "../../../orchestrator/console/parts/log/find.js";
import { Output } from "../../../orchestrator/console/parts/log/output.js";

/** A log of `[stream, message]`, searched by the route's parameters; a response searches `most` lines. */
function served(lines, most = 100) {
  const log = { asked: [] };
  log.read = async (query) => {
    log.asked.push(query);
    const { from_line: from, limit, q = "", case: mode = "ignore", stream } = query;
    const [folded, end] = [(text) => (mode === "ignore" ? text.toLowerCase() : text), from + most];
    const logs = [];
    let line = from;
    for (; line <= lines.length && line < end && logs.length < limit; line += 1) {
      const [written, message] = lines[line - 1];
      if ((!stream || written === stream) && folded(message).includes(folded(q))) logs.push({ line, stream: written, message });
    }
    return { logs, next_line: line <= lines.length ? line : null, lines: lines.length, running: false };
  };
  return log;
}
const quiet = (count) => Array.from({ length: count }, (_, at) => ["stdout", `line ${at + 1}`]);

test("a search goes through the whole log, one response after the other", async () => {
  const search = new Search(served(quiet(1000)).read, "LINE 99");
  await search.run();
  assert.deepEqual(search.state.value, { lines: [99, 990, 991, 992, 993, 994, 995, 996, 997, 998, 999], done: true, more: false, searched: 0, error: null });
  assert.equal(search.line, 99);
  search.go(-1);
  assert.equal(search.line, 999);
  search.go(1);
  search.go(1);
  assert.equal(search.line, 990);
});

test("case matters if it is to", async () => {
  const search = new Search(served([["stdout", "Line"], ["stdout", "line"]]).read, "line", true);
  await search.run();
  assert.deepEqual(search.state.value.lines, [2]);
});

test("a search stops when it has enough, and when it is closed", async () => {
  const search = new Search(served(quiet(20_000), 1e6).read, "line");
  await search.run();
  assert.deepEqual([search.state.value.lines.length, search.state.value.more], [MOST_MATCHES, true]);

  const refused = new Search(async () => { throw new Error("away"); }, "line");
  await refused.run();
  assert.equal(refused.state.value.error.message, "away");
  refused.go(1);
  assert.equal(refused.line, null);
});

test("the first error is that on stderr, or what has the words of one, whichever comes first", async () => {
  const lines = quiet(500);
  lines[99] = ["stderr", "just a note"];
  lines[299] = ["stderr", "panic: it broke"];
  lines[399] = ["stdout", "Error: later"];
  assert.deepEqual(await nextError(served(lines).read, 0), { error: 300, stderr: 100 });
  assert.deepEqual(await nextError(served(lines).read, 300), { error: 400, stderr: null });
  assert.deepEqual(await nextError(served(lines).read, 400), { error: null, stderr: null });
  lines[199] = ["stdout", "1 test failed"];
  const log = served(lines);
  assert.equal((await nextError(log.read, 0)).error, 200);
  assert.ok(log.asked.every(({ from_line: from }) => from <= 300));
});

test("an error near the beginning of a long log is found without reading the rest", async () => {
  const lines = quiet(10_000);
  lines[149] = ["stdout", "1 test failed"];
  const [log, seen] = [served(lines), []];
  assert.deepEqual(await nextError(log.read, 0, { progress: (line, error) => seen.push([line, error]) }), { error: 150, stderr: null });
  assert.ok(log.asked.every(({ from_line: from }) => from <= 150));
  assert.deepEqual(seen.at(-1), [150, 150]);
  assert.ok(seen.every(([line], at) => at === 0 || line >= seen[at - 1][0]));
});

test("colours do not hide an error", async () => {
  const lines = quiet(300);
  lines[9] = ["stdout", "\u001b[31m0\u001b[0m errors"];
  lines[99] = ["stdout", "\u001b[1;31merror\u001b[0m[E0425]: cannot find"];
  lines[149] = ["stdout", "\u001b[31mFAILED\u001b[0m tests/test_a.py"];
  lines[199] = ["stderr", "\u001b[31mTraceback (most recent call last):\u001b[0m"];
  const { read } = served(lines);
  assert.equal((await nextError(read, 0)).error, 100);
  assert.equal((await nextError(read, 100)).error, 150);
  assert.equal((await nextError(read, 150)).error, 200);
});

test("a log that is in the page is not asked for again", async () => {
  const lines = quiet(500);
  lines[299] = ["stderr", "\u001b[31mfatal\u001b[0m: it broke"];
  const output = new Output(served(lines, 1e6).read);
  await output.open();
  assert.deepEqual(nextErrorIn(output.all(), 0), { error: 300, stderr: 300 });
  assert.deepEqual(nextErrorIn(output.all(), 300), { error: null, stderr: null });

  const long = new Output(served(quiet(5000), 1e6).read);
  await long.open();
  assert.equal(long.all(), null);
});
