// Labels, parameters and variables as people write and read them: KEY=VALUE. No markup here.

/**
 * The labels of a worker in a text such as `zone=north, gpu=yes`, separated by commas or line ends; values may contain `=`.
 * Throws a TypeError with `field` for what cannot be read as KEY=VALUE.
 */
export function pairs(text, field) {
  const found = {};
  for (const part of text.split(/[,\n]/).map((each) => each.trim())) {
    if (part === "") continue;
    const at = part.indexOf("=");
    if (at < 1) throw Object.assign(new TypeError(`“${part}” must be written as KEY=VALUE`), { field });
    const key = part.slice(0, at).trim();
    if (Object.hasOwn(found, key)) throw Object.assign(new TypeError(`${key} is given twice`), { field });
    found[key] = part.slice(at + 1).trim();
  }
  return found;
}

/** Lines of KEY=VALUE as an object: `{pairs, error}`. A line without text is left out; a value keeps its spaces and commas. */
export function readPairs(text) {
  const pairs = new Map();
  for (const [index, line] of text.split("\n").entries()) {
    if (!line.trim()) continue;
    const at = line.indexOf("=");
    const key = at < 0 ? "" : line.slice(0, at).trim();
    if (!key) return { error: `line ${index + 1} should be KEY=VALUE` };
    if (pairs.has(key)) return { error: `line ${index + 1} has ${key} again` };
    pairs.set(key, line.slice(at + 1));
  }
  return { pairs: Object.fromEntries(pairs) };
}

/** Labels as `KEY=VALUE`, in order. */
export function written(labels) {
  return Object.keys(labels).sort().map((key) => `${key}=${labels[key]}`);
}
