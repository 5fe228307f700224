// A submission as a person would type it: as curl, and as a command of hodei. Pure.

import { curlOf, quoted } from "../../app/curl.js";

/** The request as curl. `base` is the orchestrator's address without a slash at its end; `access`: it needs a token. */
export function asCurl(base, body, { access = false } = {}) {
  return curlOf({ method: "POST", url: `${base}/api/v1/jobs`, body }, { access, between: " \\\n  " });
}

const INTERPRETERS = { bash: ["bash", "-c"], python: ["python3", "-c"] };

/** The submission as a command of hodei: `{text, missing}`. `missing` names the fields for which it has no option. */
export function asCli(body) {
  const words = [];
  const missing = [];
  const option = (name, value) => value !== undefined && words.push([name, quoted(String(value))].join(" "));
  const each = (name, pairs) => {
    for (const [key, value] of Object.entries(pairs ?? {})) option(name, `${key}=${text(value)}`);
  };
  const stored = body.pipeline_id !== undefined;
  words.push(stored ? `hodei pipelines run ${quoted(body.pipeline_id)}` : "hodei run");
  each("--param", body.params);
  option("--name", body.name);
  each("--env", body.env);
  each("--label", body.labels);
  option("--priority", body.priority);
  each("--requires", body.requires);
  option("--working-dir", body.working_dir);
  option("--timeout", body.timeout);
  option("--queue-timeout", body.queue_timeout);
  option("--attempts", body.retry?.max_attempts);
  option("--concurrency-key", body.concurrency_key);
  option("--concurrency-limit", body.concurrency?.limit);
  option("--when-full", body.concurrency?.when_full);
  if (body.retry?.delay !== undefined) missing.push("retry delay");
  for (const name of ["run_at", "retry_on_lost", "resources"]) if (body[name] !== undefined) missing.push(name);
  if (!stored) words.push(command(body));
  return { text: words.join(" \\\n  "), missing };
}

function command({ command, type }) {
  if (type in INTERPRETERS) return `-- ${[...INTERPRETERS[type], command].map(quoted).join(" ")}`;
  if (type === "exec") return `-- ${splitWords(command).map(quoted).join(" ")}`;
  return quoted(command).startsWith("-") ? `-- ${quoted(command)}` : quoted(command);
}

const WORD = /(?:[^\s"'\\]|\\[^]|'[^']*'|"(?:\\[^]|[^"\\])*")+/g;
const PIECE = /\\([^])|'([^']*)'|"((?:\\[^]|[^"\\])*)"/g;

/** The words of a command that is started without a shell, as the worker splits it. A text that cannot be split, such as
 *  one whose quote does not end, is one word: the service refuses it. */
export function splitWords(command) {
  if (command.replace(WORD, "").trim() !== "") return [command];
  return (command.match(WORD) ?? []).map((word) =>
    word.replace(PIECE, (_, escaped, single, double) => escaped ?? single ?? double.replace(/\\(["\\])/g, "$1")),
  );
}

function text(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
