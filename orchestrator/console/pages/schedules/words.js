// What a schedule runs, when it fires and how a firing went, in words. No markup here.
// The scheduler itself puts a recurrence into words (`description`); nothing here reads cron lines.

import { quoted } from "../../app/curl.js";

/** A command as one line: a list of words is quoted as a shell would need it. */
export function commandLine(command) {
  return Array.isArray(command) ? command.map(quoted).join(" ") : command;
}

/** What it runs: `{kind, id, text, to}`; `to` is the page of a pipeline or job, which have an id and no text. */
export function runs({ command, pipeline_id: pipeline, job_id: job }) {
  if (pipeline != null) return { kind: "pipeline", id: pipeline, text: null, to: `/pipelines/${pipeline}` };
  if (job != null) return { kind: "job", id: job, text: null, to: `/jobs/${job}` };
  return { kind: "command", id: null, text: commandLine(command), to: null };
}

/** What a schedule is called: its name, or what it runs. */
export function called(schedule) {
  const { kind, text } = runs(schedule);
  return schedule.name ?? text ?? (kind === "job" ? "a job again" : "a pipeline");
}

/** The clock time of a due time where the schedule is: `2026-11-28 02:30 +01:00`, with seconds if it has any. */
export function wallClock(local) {
  const [, day, minute, second, zone] = /^(\S+)T(\d\d:\d\d):(\d\d)(?:\.\d+)?(.*)$/.exec(local);
  return `${day} ${minute}${second === "00" ? "" : `:${second}`} ${zone}`;
}

const OVERLAP = {
  allow: "Both run",
  skip: "There is no new job",
  queue: "The new job waits",
  cancel_previous: "The former job is cancelled",
};

const CATCH_UP = {
  none: () => "They are missed",
  last: () => "It fires once, for the last of them",
  all: (limit) => `It fires for the last ${limit} of them`,
};

/** What happens if it fires while its former job runs; null for one that fires once. */
export function onOverlap({ overlap }) {
  return overlap == null ? null : (OVERLAP[overlap] ?? overlap);
}

/** What happens to due times that an outage delayed; null for one that fires once. */
export function onOutage({ catch_up: policy, catch_up_limit: limit }) {
  return policy == null ? null : (CATCH_UP[policy]?.(limit) ?? policy);
}

const KIND = { time: "Its time came", catch_up: "Caught up after an outage", trigger: "Run now" };

/** Why it fired: `Run now, by ana`. */
export function cause({ kind, triggered_by: by }) {
  const text = KIND[kind] ?? kind;
  return by == null ? text : `${text}, by ${by.name}`;
}

/** Why there is no job, or why it did not succeed; for several due times in one entry, how many. */
export function outcomeDetail({ count, more, detail, reason }) {
  const many = count > 1 ? `${more ? "more than " : ""}${count} due times` : null;
  return [many, detail ?? reason?.replaceAll("_", " ")].filter(Boolean).join(": ") || null;
}

/** Whether a schedule with this status can be paused and resumed. It can always be fired. */
export function actions(status) {
  return {
    pause: status === "scheduled" || status === "failed",
    resume: status === "paused" || status === "failed",
  };
}
