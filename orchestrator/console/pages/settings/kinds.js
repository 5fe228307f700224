// What opens the platform: tokens for requests, join tokens for workers, credentials for subscribers. Each kind with its
// calls, its columns, and the fields of a new one. No markup here.
import { inert } from "../../app/text.js";
import { pairs, written } from "../../app/pairs.js";

const NAME = { name: "name", label: "Name" };
const DAYS = { 1: "1 day", 7: "7 days", 30: "30 days", 90: "90 days", 365: "a year" };

export const KINDS = {
  tokens: {
    one: "token",
    service: "orchestrator",
    path: "/api/v1/tokens",
    secret: "token",
    what: "A token is what a person or a program sends with each request. Its role says what it may do.",
    revoked: "Every service refuses it within about a second. What it made stays.",
    command: "hodei tokens create ci --role submitter",
    columns: [["role", "Role", (row) => row.role]],
    fields: [
      { ...NAME, help: "Of the person, the program or the machine that will have it." },
      { name: "role", label: "Role", choices: ["viewer", "submitter", "operator", "admin"], help: "Each role includes those before it." },
      { name: "days", label: "Expires after", choices: ["", ...Object.keys(DAYS)], words: { "": "never", ...DAYS } },
    ],
    empty: { name: "", role: "viewer", days: "90" },
    body: ({ name, role, days }, now) => ({ name, role, expires_at: after(days, now) }),
  },
  "join-tokens": {
    one: "join token",
    service: "worker_manager",
    path: "/api/v1/join-tokens",
    secret: "token",
    what: "With a join token, a limited number of workers may join the platform. They stay when it expires.",
    revoked: "No further worker can join with it. Those that joined stay.",
    command: "hodei workers join-token \"rack 7\" --uses 20",
    columns: [
      ["uses", "Joined", (row) => `${row.uses} of ${row.max_uses}`],
      ["type", "Type", (row) => inert(row.type ?? "any")],
      ["labels", "Labels", (row) => (row.labels ? inert(written(row.labels).join(", ")) || "none" : "any")],
    ],
    fields: [
      NAME,
      { name: "uses", label: "Workers that may join", inputmode: "numeric" },
      { name: "type", label: "Only workers of the type", optional: true },
      { name: "labels", label: "Only with these labels", optional: true, placeholder: "zone=north, gpu=yes" },
      { name: "days", label: "Expires after", choices: ["", ...Object.keys(DAYS)], words: { "": "an hour", ...DAYS } },
    ],
    empty: { name: "", uses: "1", type: "", labels: "", days: "" },
    body: ({ name, uses, type, labels, days }, now) => ({
      name,
      max_uses: Number(uses),
      type: type.trim() || null,
      labels: labels.trim() === "" ? null : pairs(labels, "labels"),
      expires_at: after(days, now),
    }),
  },
  credentials: {
    one: "credentials",
    service: "worker_manager",
    path: "/api/v1/credentials",
    secret: "credentials",
    what: "With read-only credentials, a program hears the platform's events on NATS. It can publish nothing.",
    revoked: "The program that has them is disconnected, and cannot connect again.",
    command: "hodei credentials feed --out feed.creds",
    columns: [["subjects", "Subjects", (row) => inert(row.subjects.join(", "))]],
    fields: [
      NAME,
      { name: "subjects", label: "Subjects", optional: true, placeholder: "hodei.feed.jobs.*.failed", help: "Separated by spaces. Without any: all events." },
      { name: "days", label: "Expire after", choices: ["", ...Object.keys(DAYS)], words: { "": "never", ...DAYS } },
    ],
    empty: { name: "", subjects: "", days: "" },
    body: ({ name, subjects, days }, now) => ({ name, subjects: subjects.trim() ? subjects.trim().split(/[\s,]+/) : null, expires_at: after(days, now) }),
  },
};

/** "active", "expired" or "revoked". */
export function stateOf({ revoked_at: revoked, expires_at: expires }, now) {
  if (revoked) return "revoked";
  return expires && Date.parse(expires) <= now ? "expired" : "active";
}

function after(days, now) {
  return days === "" ? null : new Date(now + Number(days) * 86_400_000).toISOString();
}
