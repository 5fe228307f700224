// Time: the platform's clock as this page knows it, and how times and durations are written.
import { signal } from "@preact/signals";
import { remembered } from "./remembered.js";

let ahead = 0;

/** The time now, in milliseconds, by the platform's clock. It ticks once a second. */
export const now = signal(Date.now());

/** "local" or "utc": in which zone times are shown. */
export const zone = remembered("zone", "local");

/** Take the `Date` of an answer as the platform's time. It counts seconds, so less than two are no difference. */
export function hearDate(text, at = Date.now()) {
  const told = Date.parse(text ?? "");
  if (Number.isNaN(told)) return;
  const difference = told + 500 - at;
  ahead = Math.abs(difference) < 2000 ? 0 : difference;
}

/** Let `now` tick. Called once, by the page. */
export function startClock() {
  const tick = () => {
    now.value = Date.now() + ahead;
  };
  tick();
  return setInterval(tick, 1000);
}

/** How far the platform's clock is ahead of this machine's, in milliseconds; 0 if they agree. */
export const clockAhead = () => ahead;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");

/** "29 Nov 14:03:22", with the year if it is not this one, in the zone that is chosen. */
export function formatTime(iso, { seconds = true } = {}) {
  const at = new Date(iso);
  if (iso == null || Number.isNaN(at.getTime())) return "";
  const utc = zone.value === "utc";
  const part = (name) => (utc ? at[`getUTC${name}`]() : at[`get${name}`]());
  const thisYear = new Date(now.value)[utc ? "getUTCFullYear" : "getFullYear"]();
  const day = `${part("Date")} ${MONTHS[part("Month")]}${part("FullYear") === thisYear ? "" : ` ${part("FullYear")}`}`;
  const clock = `${two(part("Hours"))}:${two(part("Minutes"))}${seconds ? `:${two(part("Seconds"))}` : ""}`;
  return `${day} ${clock}`;
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const YEAR = 365.25 * DAY;

/** "40 ms", "1.4 s", "12 s", "3 min 12 s", "2 h 05 min", "3 d 4 h". */
export function formatDuration(ms) {
  if (ms == null || Number.isNaN(ms)) return "";
  if (ms < 999.5) return `${Math.round(Math.max(0, ms))} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ${two(seconds % MINUTE)} s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ${two(Math.floor((seconds % HOUR) / MINUTE))} min`;
  return `${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / HOUR)} h`;
}

/** "just now", "12 s ago", "3 min ago", "in 5 min". */
export function ago(iso) {
  const at = Date.parse(iso ?? "");
  if (Number.isNaN(at)) return "";
  const seconds = Math.round((now.value - at) / 1000);
  const text = roughly(Math.abs(seconds));
  if (text === "") return "just now";
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

function roughly(seconds) {
  if (seconds < 2) return "";
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h`;
  if (seconds < 2 * YEAR) return `${Math.floor(seconds / DAY)} d`;
  return `${Math.floor(seconds / YEAR)} years`;
}
