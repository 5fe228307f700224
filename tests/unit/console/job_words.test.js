// Reasons, exit codes, signals and events in words.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  commandText, eventInWords, exitInWords, reasonInWords, signalName, titleOf, why,
} from "../../../orchestrator/console/pages/job/words.js";

test("a signal is told by its name", () => {
  assert.equal(signalName(9), "SIGKILL");
  assert.equal(signalName(15), "SIGTERM");
  assert.equal(signalName(31), "SIGSYS");
  assert.equal(signalName(36), "SIGRTMIN+2");
  assert.equal(signalName(0), null);
  assert.equal(signalName(65), null);
  assert.equal(exitInWords(137, "signal"), "SIGKILL (9)");
  assert.equal(exitInWords(-9, null), "SIGKILL (9)");
});

test("an exit code is told with what it usually means", () => {
  assert.equal(exitInWords(0, null), "exit code 0");
  assert.equal(exitInWords(3, "exit_code"), "exit code 3");
  assert.equal(exitInWords(127, "exit_code"), "exit code 127: the command was not found");
  assert.equal(exitInWords(137, "exit_code"), "exit code 137, as a shell reports SIGKILL");
  assert.equal(exitInWords(255, "exit_code"), "exit code 255");
  assert.equal(exitInWords(null, "timeout"), "");
});

test("a reason has words and keeps its detail; an unknown one stays as it is", () => {
  assert.equal(why({ reason: null, detail: null, exit_code: 0 }), null);
  assert.equal(why({ reason: "signal", detail: null, exit_code: 137 }), "ended by SIGKILL (9)");
  assert.equal(why({ reason: "exit_code", detail: null, exit_code: 4 }), "exit code 4");
  assert.equal(why({ reason: "timeout", detail: "60 s" }), "the time limit was over: 60 s");
  assert.equal(why({ reason: "exit_code" }), "the command ended with an error", "a job has no exit code");
  assert.equal(reasonInWords("of_tomorrow"), "of_tomorrow");
  assert.equal(reasonInWords("constructor"), "constructor");
});

test("a task of a matrix is told with its values, and a command as one types it", () => {
  assert.equal(titleOf({ name: "test", matrix: { python: "3.11", fast: true } }), "test (3.11, true)");
  assert.equal(titleOf({ name: "test", matrix: null }), "test");
  assert.equal(commandText(["echo", "it's", "a b", ""]), "echo 'it'\\''s' 'a b' ''");
  assert.equal(commandText("make"), "make");
  assert.equal(commandText(null), "");
});

test("events have words, also those of a newer version", () => {
  assert.deepEqual(eventInWords({ type: "tasks.retrying", data: { attempt: 2, reason: "exit_code" } }), {
    what: "Attempt 1 failed, another follows", detail: "the command ended with an error",
  });
  assert.deepEqual(eventInWords({ type: "jobs.cancel_requested", data: { reason: "cancelled", cancelled_by: { id: "1", name: "ana" } } }), {
    what: "Job is to be stopped", detail: "by ana",
  });
  assert.deepEqual(eventInWords({ type: "tasks.approved", data: { by: "ana", comment: "fine" } }), {
    what: "Approved", detail: "by ana: fine",
  });
  assert.deepEqual(eventInWords({ type: "tasks.teleported", data: {} }), { what: "tasks.teleported", detail: null });
  assert.deepEqual(eventInWords({ type: "__proto__", data: {} }), { what: "__proto__", detail: null });
});
