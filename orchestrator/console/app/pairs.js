// Labels as people write and read them. No markup here.

/**
 * The labels in a text such as `zone=north, gpu=yes`, separated by commas or line ends; values may contain `=`.
 * Throws a TypeError with `field` for what cannot be read as KEY=VALUE.
 */
export function pairs(text, field) {
  const found = {};
  for (const part of text.split(/[,\n]/).map((each) => each.trim())) {
    if (part === "") continue;
    const at = part.indexOf("=");
    if (at < 1) throw Object.assign(new TypeError(`“${part}” must be written as KEY=VALUE`), { field });
    found[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return found;
}

/** Labels as `KEY=VALUE`, in order. */
export function written(labels) {
  return Object.keys(labels).sort().map((key) => `${key}=${labels[key]}`);
}
