// A call of the API as a command for a shell. Pure.
import { UNSEEN } from "./text.js";

/** The command that makes this call. With `access`, it sends the token of $HODEI_TOKEN. `between` stands between its
 * options: a line break, for example. */
export function curlOf({ method, url, body, accept }, { access = false, between = " " } = {}) {
  const parts = ["curl"];
  if (method !== "GET") parts.push(`-X ${method}`);
  if (access) parts.push('-H "Authorization: Bearer $HODEI_TOKEN"');
  if (accept && accept !== "application/json") parts.push(`-H ${quoted(`Accept: ${accept}`)}`);
  if (body !== undefined) parts.push(`-H ${quoted("Content-Type: application/json")}`, `-d ${quoted(visibleJson(body))}`);
  return [...parts, quoted(url)].join(between);
}

// Controls, direction overrides and the like: a terminal, or a reader, would take them for something else.
const ONE_UNSEEN = new RegExp(UNSEEN, "u");
const ALL_UNSEEN = new RegExp(UNSEEN, "gu");

/** A text as one word of a POSIX shell; with characters that cannot be seen, in the form `$'…'` of bash and zsh. */
export function quoted(text) {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (!ONE_UNSEEN.test(text.replaceAll("\n", ""))) return `'${text.replaceAll("'", `'\\''`)}'`;
  const escaped = [...text].map((one) => {
    if (one === "\\" || one === "'") return `\\${one}`;
    if (one === "\n") return "\\n";
    return ONE_UNSEEN.test(one) ? escapeOf(one) : one;
  });
  return `$'${escaped.join("")}'`;
}

function escapeOf(one) {
  const code = one.codePointAt(0).toString(16);
  if (code.length <= 2) return `\\u00${code.padStart(2, "0")}`;
  return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
}

/** JSON in which no character is unseen: those are escapes. */
export function visibleJson(value) {
  const units = (one) => [...Array(one.length).keys()].map((at) => one.charCodeAt(at).toString(16).padStart(4, "0"));
  return JSON.stringify(value).replace(ALL_UNSEEN, (one) => units(one).map((code) => `\\u${code}`).join(""));
}
