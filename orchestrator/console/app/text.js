// Texts of other people, and numbers, as the console shows them. Pure.

/** The last 8 characters of an id: what the command line accepts as well. */
export const shortId = (id) => String(id ?? "").slice(-8);

/** A character that cannot be seen: controls, marks and overrides of direction, fillers, tags, what no font has. For the
 * body of a regular expression with the flag `u`. */
export const UNSEEN = String.raw`[\p{C}\p{Default_Ignorable_Code_Point}\u2028\u2029]`;

// But tab, line feed, and what only chooses the picture of an emoji.
const SHOWN_BY_CODE = new RegExp(String.raw`(?![\t\n]|(?<=\p{Extended_Pictographic})\ufe0f)${UNSEEN}`, "gu");

/** A text whose invisible characters, such as direction overrides, are shown by their codes: `⟨202E⟩`. */
export const inert = (text) =>
  String(text ?? "").replace(SHOWN_BY_CODE, (one) => `⟨${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

/** "1 job", "2 jobs". */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A whole number with spaces between thousands: "12 345". */
export const count = (number) => String(Math.round(number ?? 0)).replace(/\B(?=(\d{3})+$)/g, "\u202f");

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A size in the unit that fits: "0 bytes", "1.5 KiB", "512 MiB". */
export function bytes(number) {
  let value = Number(number ?? 0);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit === 0) return value === 1 ? "1 byte" : `${value} bytes`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** A status or a reason in words: "timed_out" → "timed out". */
export const words = (name) => String(name ?? "").replaceAll("_", " ");
