import assert from "node:assert/strict";
import { test } from "node:test";

import { carryOut, fitting, outcome, pinned, progress, question } from "../../../orchestrator/console/pages/jobs/bulk.js";
import { ALL, checkboxes, chosenOf, newChoice } from "../../../orchestrator/console/pages/jobs/choice.js";
import { COLUMNS } from "../../../orchestrator/console/pages/jobs/columns.js";
import { adding, chips, faultsOf, readFilters, toApi, toQuery, words } from "../../../orchestrator/console/pages/jobs/filters.js";
import { limitFor, merge, MOST, news, spoken } from "../../../orchestrator/console/pages/jobs/merge.js";

const NOW = Date.parse("2026-11-29T12:00:00Z");

test("filters survive the way through the URL", () => {
  const filters = {
    status: ["failed", "running"], name: "nightly*", label: ["team=web", "tier=1"], parameter: ["target=a=b"],
    created_after: "24h", reason: "timeout",
  };
  assert.deepEqual(readFilters(toQuery(filters)), filters);
});

test("a URL's empty values, repetitions and page are left out of the filters", () => {
  const read = readFilters({ status: "failed,,failed", name: " ", label: ["a=1", "a=1"], cursor: "x" });
  assert.deepEqual(read, { status: ["failed"], label: ["a=1"] });
  assert.deepEqual(faultsOf(read), []);
});

test("filters of a URL that the list does not take are named, and can be removed", () => {
  const read = readFilters({ status: "failed,bogus", since: "yesterday", name: ["a", "b"], constructor: "x" });
  const faults = faultsOf(read).join("; ");
  assert.match(faults, /Status: bogus should be one of pending, running/);
  assert.match(faults, /no filter named since/);
  assert.match(faults, /no filter named constructor/);
  assert.match(faults, /Name: should be given once/);
  assert.throws(() => toApi(read, NOW));
  assert.throws(() => toApi({ since: ["yesterday"] }, NOW), /no filter named since/);
  const found = chips(read);
  assert.deepEqual(found.map(({ text }) => text), ["Status: bogus", "Name: a", "Name: b", "since: yesterday", "constructor: x"]);
  assert.deepEqual(found[0].rest.status, ["failed"]);
  assert.equal("since" in toQuery(found[3].rest), false);
});

test("filters that are cleared leave the URL, and so does the page's cursor", () => {
  assert.deepEqual(toQuery({ status: [], name: "a" }), { name: "a" });
});

test("an age becomes a time, and a time stays as it is", () => {
  const asked = toApi({ created_after: "24h", created_before: "2026-11-29T11:00:00+01:00" }, NOW);
  assert.equal(asked.created_after, "2026-11-28T12:00:00.000Z");
  assert.equal(asked.created_before, "2026-11-29T11:00:00+01:00");
  assert.equal(toApi({ pipeline_version: "3" }, NOW).pipeline_version, 3);
});

test("what the API would not take is said before it is asked", () => {
  assert.throws(() => toApi({ created_after: "yesterday" }, NOW), /Created after: should be a time/);
  assert.throws(() => toApi({ created_after: "2026-13-41T00:00:00Z" }, NOW), /should be a time/);
  assert.throws(() => toApi({ label: ["team"] }, NOW), /Label: should be KEY=VALUE/);
  assert.throws(() => toApi({ label: ["=web"] }, NOW), /KEY=VALUE/);
  assert.throws(() => toApi({ pipeline_version: "two" }, NOW), /Pipeline version: should be a whole number/);
});

test("each value has a chip that takes only itself away; the status has buttons", () => {
  const found = chips({ status: ["failed"], label: ["a=1", "b=2"], name: "x" });
  assert.deepEqual(found.map(({ text }) => text), ["Label: a=1", "Label: b=2", "Name: x"]);
  assert.deepEqual(found[0].rest, { status: ["failed"], label: ["b=2"], name: "x" });
  assert.deepEqual(found[2].rest, { status: ["failed"], label: ["a=1", "b=2"] });
});

test("adding a filter repeats a label and replaces a name", () => {
  assert.deepEqual(adding({ label: ["a=1"] }, "label", " b=2 "), { label: ["a=1", "b=2"] });
  assert.deepEqual(adding({ name: "x" }, "name", "y"), { name: "y" });
  assert.deepEqual(adding({ name: "x" }, "name", "  "), { name: "x" });
  assert.equal(words({ status: ["failed"], label: ["a=1"] }), "status failed, label a=1");
});

const row = (id, status = "running") => ({ id, status });

test("rows stay in their places, change where they are, and new ones are only counted", () => {
  const { rows, fresh, gone } = merge([row("5"), row("4")], [row("7"), row("6"), row("5"), row("4", "failed")], false);
  assert.deepEqual(rows, [row("5"), row("4", "failed")]);
  assert.deepEqual([fresh, gone], [2, 0]);
});

test("a row that the list no longer has stays, and is marked until it comes back", () => {
  const first = merge([row("5"), row("4"), row("3")], [row("5"), row("3")], false);
  assert.deepEqual(first.rows[1], { ...row("4"), gone: true });
  assert.equal(first.gone, 1);
  assert.equal(merge(first.rows, [row("5"), row("4"), row("3")], false).gone, 0);
});

test("rows beyond the end of an answer are unknown to it, and not gone", () => {
  const { rows, fresh, gone } = merge([row("5"), row("2")], [row("9"), row("8"), row("5")], true);
  assert.deepEqual(rows, [row("5"), row("2")]);
  assert.deepEqual([fresh, gone], [2, 0]);
});

test("rows after the last one that is shown are no news, as they were not shown before", () => {
  assert.equal(merge([row("5"), row("4")], [row("5"), row("4"), row("3"), row("2")], false).fresh, 0);
});

test("a list without rows takes what comes at once", () => {
  assert.deepEqual(merge([], [row("1")], false), { rows: [row("1")], fresh: 0, gone: 0 });
});

test("a live page asks for what it shows and what came before it, within a limit", () => {
  assert.equal(limitFor(50, 0, 50), 70);
  assert.equal(limitFor(50, 12, 50), 82);
  assert.equal(limitFor(50, 10_000, 50), MOST);
});

test("the bar says what came and went", () => {
  assert.equal(news(12, 0, false), "12 new");
  assert.equal(spoken(news(12, 0, false), "Live"), spoken(news(13, 0, false), "Live")); // a screen reader is left in peace
  assert.notEqual(spoken(news(12, 0, false), "Live"), spoken(news(0, 0, false), "Live"));
  assert.equal(news(250, 1, true), "250+ new, 1 no longer here");
  assert.equal(news(0, 0, false), "");
});

test("a confirmation says how many jobs", () => {
  assert.equal(question("cancel", 1, false).title, "Cancel 1 job?");
  assert.equal(question("delete", 1234, true).action, "Delete 1,234 or more jobs");
  assert.equal(question("delete", 2, false).danger, true);
  assert.deepEqual(fitting("cancel", [row("1"), row("2", "failed"), { ...row("3"), gone: true }]), [row("1")]);
  assert.deepEqual(fitting("rerun", [row("1"), row("2", "failed")]), [row("2", "failed")]);
});

test("an action on all that match is about the jobs of now", () => {
  const at = "2026-11-29T12:00:00.000Z";
  assert.deepEqual(pinned({ name: "a" }, NOW), { name: "a", created_before: at });
  assert.equal(pinned({ created_before: "2026-11-28T12:00:00Z" }, NOW).created_before, "2026-11-28T12:00:00.000Z");
  assert.equal(pinned({ created_before: "2027-11-28T12:00:00Z" }, NOW).created_before, at);
});

test("chosen jobs go out in batches, each job once", async () => {
  const ids = [...Array(250).keys()].map(String);
  const sent = [];
  const total = await carryOut({ ids }, {
    send: async (body) => (sent.push(body.ids), { done: body.ids.length, refused: [], cursor: null }),
  });
  assert.deepEqual(sent.map(({ length }) => length), [100, 100, 50]);
  assert.deepEqual(sent.flat(), ids);
  assert.equal(total.done, 250);
});

test("a batch of chosen jobs that was cut off goes on, before the next one", async () => {
  const ids = [...Array(120).keys()].map(String);
  const sent = [];
  const total = await carryOut({ ids }, {
    send: async (body) => {
      sent.push([body.ids.length, body.cursor]);
      return { done: 10, refused: [], cursor: sent.length === 1 ? "x" : null };
    },
  });
  assert.deepEqual(sent, [[100, undefined], [100, "x"], [20, undefined]]);
  assert.equal(total.done, 30);
});

test("all that match go on from where the last batch ended", async () => {
  const answers = [
    { done: 100, cursor: "x", refused: [] },
    { done: 0, cursor: "y", refused: [{ id: "1", detail: "it has already ended" }] },
    { done: 50, cursor: null, refused: [] },
  ];
  const [sent, seen] = [[], []];
  const total = await carryOut({ filter: { name: "a" } }, {
    send: async ({ filter, cursor }) => (sent.push([filter.name, cursor]), answers.shift()),
    onProgress: ({ done }) => seen.push(done),
  });
  assert.deepEqual(sent, [["a", undefined], ["a", "x"], ["a", "y"]]);
  assert.deepEqual(seen, [100, 100, 150]);
  assert.equal(outcome("cancel", total, { matched: 151, more: false }), "150 jobs cancelled; 1 refused: it has already ended");
});

test("an action on many can be stopped between two batches", async () => {
  const send = async () => ({ done: 1, cursor: "x", refused: [] });
  const total = await carryOut({ filter: {} }, { send, stopped: () => true });
  assert.deepEqual([total.done, total.stopped], [1, true]);
  assert.equal(outcome("rerun", total, { matched: 1234, more: false }), "1 job started again; stopped with 1,233 of 1,234 left");
});

test("an action on many that fails half-way says what was done", async () => {
  const wrong = new Error("no answer");
  let batches = 0;
  const send = async () => {
    batches += 1;
    if (batches === 5) throw wrong;
    return { done: 100, cursor: "x", refused: [] };
  };
  const total = await carryOut({ filter: {} }, { send });
  assert.deepEqual([total.done, total.error, total.rest.cursor], [400, wrong, "x"]);
  assert.equal(outcome("delete", total, { matched: 500, more: false }), "400 jobs deleted; then an error came, with 100 of 500 left");
  assert.match(outcome("delete", total, { matched: 500, more: true }), /with 100 or more of 500 left/);
  assert.match(outcome("delete", total, { matched: 400, more: false }), /with some left/); // others came to match meanwhile
});

test("an action on many that was stopped goes on with the batch that was to come", async () => {
  const ids = [...Array(250).keys()].map(String);
  const sent = [];
  const send = async (body) => (sent.push(...body.ids), { done: body.ids.length, refused: [], cursor: null });
  const begun = await carryOut({ ids }, { send, stopped: () => true });
  const total = await carryOut({ ids }, { send, before: begun });
  assert.deepEqual(sent, ids);
  assert.deepEqual([begun.done, total.done, total.stopped, total.rest], [100, 250, false, null]);
});

test("an answer that cannot be read ends an action on many, too", async () => {
  const total = await carryOut({ ids: ["1"] }, { send: async () => null });
  assert.ok(total.error instanceof TypeError);
});

test("progress tells how many of how many", () => {
  assert.equal(progress("cancel", { done: 90, refused: 10 }, { matched: 1500, more: false }), "Cancel: 100 of 1,500 jobs…");
  assert.equal(progress("delete", { done: 1, refused: 0 }, { matched: 10_000, more: true }), "Delete: 1 of 10,000 or more jobs…");
});

test("with all that match each row is checked, and a change of a checkbox leaves what the checkboxes show", () => {
  const [choice, rows] = [newChoice(), [row("1"), row("2"), row("3")]];
  const boxes = () => checkboxes(choice, rows);
  assert.deepEqual(chosenOf(choice, rows), []);
  choice.value = ALL;
  assert.deepEqual([...boxes().value], ["1", "2", "3"]);
  assert.deepEqual(chosenOf(choice, [...rows, row("4")]).map(({ id }) => id), ["1", "2", "3", "4"]);
  boxes().value = new Set([...boxes().value].filter((id) => id !== "2"));
  assert.deepEqual(chosenOf(choice, rows).map(({ id }) => id), ["1", "3"]);
  boxes().value = new Set();
  boxes().value = new Set(["1"]);
  assert.deepEqual(chosenOf(choice, rows).map(({ id }) => id), ["1"]);
});

test("a long name is clipped, with the whole in its title", () => {
  const named = (name) => COLUMNS.find(({ key }) => key === "name").cell({ id: "01a2275f-0000", name });
  const span = (cell) => [cell.props.children].flat(9).find((one) => one?.type === "span").props;
  assert.deepEqual([span(named("n".repeat(200))).class, span(named("n".repeat(200))).title], ["two-lines", "n".repeat(200)]);
  assert.deepEqual([span(named("short")).class, span(named("short")).title], ["", undefined]);
});
