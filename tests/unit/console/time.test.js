import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, clockAhead, formatDuration, formatTime, hearDate, now, zone } from "../../../orchestrator/console/app/time.js";

const MINUTE = 60_000;

test("durations", () => {
  assert.deepEqual(
    [0, 420, 9949, 9950, 59_400, 192_000, 2 * 60 * MINUTE + 5 * MINUTE, 76 * 60 * MINUTE, null].map(formatDuration),
    ["0 ms", "420 ms", "9.9 s", "10 s", "59 s", "3 min 12 s", "2 h 05 min", "3 d 4 h", ""],
  );
});

test("times in UTC, with the year if it is another one", () => {
  zone.value = "utc";
  now.value = Date.parse("2026-11-29T12:00:00Z");
  assert.equal(formatTime("2026-11-29T09:03:22.123Z"), "29 Nov 09:03:22");
  assert.equal(formatTime("2025-01-02T23:59:59Z", { seconds: false }), "2 Jan 2025 23:59");
  assert.equal(formatTime(null), "");
  assert.equal(formatTime("<b>"), "");
});

test("how long ago", () => {
  now.value = Date.parse("2026-11-29T12:00:00Z");
  assert.deepEqual(
    ["2026-11-29T12:00:01Z", "2026-11-29T11:59:48Z", "2026-11-29T11:57:00Z", "2026-11-28T12:00:00Z", "2026-11-29T12:05:00Z", "2099-12-31T12:00:00Z"].map(ago),
    ["just now", "12 s ago", "3 min ago", "1 d ago", "in 5 min", "in 73 years"],
  );
});

test("the platform's clock is this one unless they differ by seconds", () => {
  const at = Date.parse("2026-11-29T12:00:00.400Z");
  hearDate("Sun, 29 Nov 2026 12:00:01 GMT", at);
  assert.equal(clockAhead(), 0);
  hearDate("Sun, 29 Nov 2026 12:10:00 GMT", at);
  assert.equal(clockAhead(), 600_100);
  hearDate(null, at);
  assert.equal(clockAhead(), 600_100);
  hearDate("Sun, 29 Nov 2026 12:00:00 GMT", at);
});
