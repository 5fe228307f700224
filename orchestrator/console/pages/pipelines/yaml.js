// Plain data as YAML 1.2 that a person likes to read and every reader of YAML reads in the same way, written as `hodei
// pipelines export` writes it. Pure.

const WIDTH = 100;
const STEP = "  ";
const WORDS = new Set(["y", "n", "yes", "no", "on", "off", "true", "false", "null"]);
const ESCAPES = { "\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\" };
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

/** A map of text, numbers, true, false, null, lists and maps as YAML. The keys keep their order. */
export function toYaml(value) {
  return map(value, "").map((line) => `${line}\n`).join("");
}

function map(value, indent) {
  return Object.entries(value).flatMap(([key, inner]) => {
    const name = `${indent}${keyText(key)}:`;
    if (isFilledMap(inner)) return [name, ...map(inner, indent + STEP)];
    if (Array.isArray(inner) && inner.length) {
      const flow = onOneLine(inner);
      if (flow !== null && name.length + flow.length < WIDTH) return [`${name} ${flow}`];
      return [name, ...list(inner, indent + STEP)];
    }
    return leaf(`${name} `, inner, indent);
  });
}

function list(value, indent) {
  return value.flatMap((inner) => {
    const filled = isFilledMap(inner) ? map : Array.isArray(inner) && inner.length ? list : null;
    if (!filled) return leaf(`${indent}- `, inner, indent);
    const [first, ...rest] = filled(inner, indent + STEP);
    return [`${indent}- ${first.trimStart()}`, ...rest];
  });
}

function leaf(before, value, indent) {
  if (typeof value !== "string" || !isBlock(value)) return [before + scalar(value, false)];
  const ended = value.endsWith("\n");
  const body = (ended ? value.slice(0, -1) : value).split("\n");
  return [`${before}${ended ? "|" : "|-"}`, ...body.map((line) => (line ? `${indent}${STEP}${line}` : ""))];
}

function isFilledMap(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0;
}

function onOneLine(value) {
  if (value.some((one) => (one !== null && typeof one === "object") || (typeof one === "string" && one.includes("\n")))) {
    return null;
  }
  return `[${value.map((one) => scalar(one, true)).join(", ")}]`;
}

function scalar(value, flow) {
  if (typeof value === "string") return isPlain(value, flow) ? value : quoted(value);
  if (Array.isArray(value)) return "[]";
  return value !== null && typeof value === "object" ? "{}" : String(value);
}

function keyText(text) {
  return isPlain(text, true) && !text.includes("#") ? text : quoted(text);
}

/** Whether a text needs no quotes. One that begins with a digit or a sign gets some: it may look like a number. */
function isPlain(text, flow) {
  if (!text || WORDS.has(text.toLowerCase()) || UNPRINTABLE.test(text)) return false;
  if (!/^(\p{L}|[_/$(]|\.\/)/u.test(text)) return false;
  if (/[ :]$|: | #/.test(text)) return false;
  return !flow || !/[,[\]{}?:]/.test(text);
}

/** Whether a text of several lines can stand as it is, under a `|`. */
function isBlock(text) {
  const lines = (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
  return (
    lines.length > 1 &&
    lines.every((line) => !UNPRINTABLE.test(line.replaceAll("\t", "")) && line === line.trimEnd()) &&
    /^\S/.test(lines[0]) &&
    lines.at(-1) !== ""
  );
}

function quoted(text) {
  const escaped = [...text].map((one) => ESCAPES[one] ?? (UNPRINTABLE.test(one) ? escape(one) : one));
  return `"${escaped.join("")}"`;
}

function escape(one) {
  const code = one.codePointAt(0);
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}
