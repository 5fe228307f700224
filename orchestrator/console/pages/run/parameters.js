// A form made of declared parameters (of a pipeline, or of an approval's inputs): its fields, and the values that their
// texts mean. The rules are those of the API, which checks the values again. Pure.

/** What stands in place of a value that looks like a secret. */
export const HIDDEN = "***";

/** The fields of a form: `{name, type, required, choices, help, initial}`, in the order of their declaration. `given` has
 *  values of an earlier job. */
export function fieldsOf(declared, given = {}) {
  return Object.entries(declared ?? {}).map(([name, spec]) => ({
    name,
    type: spec.type ?? "string",
    required: Boolean(spec.required),
    choices: spec.choices ?? null,
    pattern: spec.pattern ?? null,
    default: spec.default ?? null,
    help: helpOf(spec),
    hidden: given[name] === HIDDEN,
    initial: initialOf(spec, given[name]),
  }));
}

function helpOf(spec) {
  const parts = [];
  if (spec.description) parts.push(spec.description);
  if (spec.pattern) parts.push(`Matches ${spec.pattern}`);
  if (spec.default !== null && spec.default !== undefined) parts.push(`By default ${asText(spec.default) || "empty"}`);
  return parts.join(" · ");
}

function initialOf(spec, given) {
  if (given !== undefined && given !== HIDDEN) return asText(given);
  return spec.default === null || spec.default === undefined ? "" : asText(spec.default);
}

/** A value as the text of a field. */
export function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What the texts of a form mean: `{params, errors}`. A value that is the default is left out, and so is an empty field,
 *  unless it is a string whose default was taken away. */
export function valuesOf(fields, texts) {
  const params = {};
  const errors = {};
  for (const field of fields) {
    const text = texts[field.name] ?? field.initial;
    if (field.default !== null && text === asText(field.default)) continue;
    if (text === "" && !(field.type === "string" && field.default !== null)) {
      if (field.required) errors[field.name] = "is required";
      continue;
    }
    const { value, error } = accept(field, text);
    if (error) errors[field.name] = error;
    else params[field.name] = value;
  }
  return { params, errors };
}

/** The value that a text means for a field, `{value}`, or `{error}`: what would be right. */
export function accept(field, text) {
  const { type, choices } = field;
  if (type === "string") return { value: text };
  if (type === "choice") {
    return (choices ?? []).includes(text) ? { value: text } : { error: `should be one of ${(choices ?? []).join(", ")}` };
  }
  const trimmed = text.trim();
  if (type === "boolean") {
    return ["true", "false"].includes(trimmed) ? { value: trimmed === "true" } : { error: "should be true or false" };
  }
  if (type === "integer") {
    if (!/^-?(0|[1-9]\d*)$/.test(trimmed)) return { error: "should be a whole number" };
    const whole = BigInt(trimmed);
    if (whole > 2n ** 63n - 1n || whole < -(2n ** 63n - 1n)) return { error: "should be a whole number of at most 64 bits" };
    // A number of JavaScript is not exact beyond 53 bits; the API takes a text that spells the value.
    return { value: Number.isSafeInteger(Number(trimmed)) ? Number(trimmed) : trimmed };
  }
  if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(trimmed) && Number.isFinite(Number(trimmed))) {
    return { value: Number(trimmed) };
  }
  return { error: "should be a number" };
}

/** An object as lines of KEY=VALUE: `{text, left}`. Values that one line cannot show are left out, and `left` has their
 *  names: those with line breaks, and hidden ones. */
export function writePairs(pairs) {
  const left = [];
  const lines = [];
  for (const [key, value] of Object.entries(pairs ?? {})) {
    if (value === HIDDEN || String(value).includes("\n")) left.push(key);
    else lines.push(`${key}=${value}`);
  }
  return { text: lines.join("\n"), left };
}
