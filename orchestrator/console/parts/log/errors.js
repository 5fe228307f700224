// The first error in a log, as far as words tell. Pure.

const WORDS = [
  "error", "fatal", "panic(?:ked)?", "exception", "traceback", "assertionerror", "segmentation fault", "failed", "failure",
  "command not found", "no such file or directory", "permission denied",
]; // prettier-ignore
const ERROR = new RegExp(`\\b(?:${WORDS.join("|")})\\b|\\berr!`, "i");
const CLASS = /\w(?:Error|Exception)\b/; // ValueError, java.lang.NullPointerException
/** What makes such words harmless: "0 errors", "no error", "errors: none", "--fail-fast". */
const HARMLESS = [
  /\b(?:0|no|without|zero|any|ignor\w+|if|on)[ -]*(?:errors?|failed|failures?|exceptions?)\b/gi,
  /\b(?:errors?|failed|failures?)\b\s*[:=]\s*(?:0|none|null|false)\b/gi,
  /--[\w-]*(?:error|fail)[\w-]*/gi,
];

/** What to ask the service for, which searches for one text at a time: most errors are on stderr, or have these words. */
export const SEARCHES = [{ stream: "stderr" }, { q: "error" }, { q: "fail" }];

/** Whether a line looks like an error. */
export function looksLikeError(text) {
  const rest = HARMLESS.reduce((left, pattern) => left.replace(pattern, ""), text);
  return ERROR.test(rest) || CLASS.test(rest);
}
