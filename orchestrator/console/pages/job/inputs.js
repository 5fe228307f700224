// The inputs that an approval declares: what a form shows for them, and what it sends. Pure.

/** How an input is entered: `select`, `checkbox`, `number` or `text`. */
export function controlOf({ type, choices }) {
  if (type === "choice" || choices) return "select";
  if (type === "boolean") return "checkbox";
  return type === "integer" || type === "number" ? "number" : "text";
}

/** What a form holds at first, by name: the declared defaults. */
export function initialOf(inputs) {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, spec]) => [name, spec.type === "boolean" ? spec.default === true : String(spec.default ?? "")]),
  );
}

/** What is sent: a text that spells a value is taken for it by the API, so numbers go as they were typed; an empty field
 *  that is not required is left out. */
export function givenOf(inputs, values) {
  return Object.fromEntries(
    Object.entries(inputs)
      .map(([name, spec]) => [name, values[name], spec])
      .filter(([, value, spec]) => value !== "" || spec.required)
      .map(([name, value]) => [name, value]),
  );
}

/** What an input is, in words, below its field. */
export function helpOf({ description, type, pattern }) {
  const kind = { integer: "A whole number.", number: "A number." }[type];
  return [description, kind, pattern && `Must match ${pattern}`].filter(Boolean).join(" ");
}
