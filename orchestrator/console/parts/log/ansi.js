// Colours: text with ANSI escape sequences as pieces, each with its classes. Pure.
//
// All that a sequence can do here is to give text one of 16 colours, or to make it bold, faint, italic or underlined.
// Other sequences disappear. What is not a whole sequence is shown, so that nothing of the output is hidden.
import { inert } from "../../app/text.js";
import { AnsiUp } from "ansi_up";

/** The style with which an output begins. */
export const UNSTYLED = Object.freeze({ bold: false, faint: false, italic: false, underline: false, fg: null, bg: null });

// Titles of windows, links and the like: ESC and a letter, a text, and BEL or ESC \ at its end. Without an end, ESC and
// the letter alone. Then sequences without a text, such as "save the cursor".
const WITH_TEXT = /\x1b[\]PX^_](?:[^\x07\x1b]*(?:\x07|\x1b\\))?/g;
const SHORT = /\x1b[ -/]*[0-OQ-WYZ\\`-~]/g;
const STYLE = /\x1b\[[\d;:]*m/g;

class Painter extends AnsiUp {
  constructor() {
    super();
    this.use_classes = true;
    this.nearest = new Map();
  }

  /** The pieces of a text that begins in `style`, and the style at its end. */
  paint(text, style) {
    this.pieces = [];
    this._buffer = "";
    Object.assign(this, style);
    this.ansi_to_html(cleaned(text));
    if (this._buffer) this.transform_to_html(this.with_state({ text: this._buffer }));
    const { bold, faint, italic, underline, fg, bg } = this;
    return { pieces: this.pieces, style: { bold, faint, italic, underline, fg, bg } };
  }

  /** Called for each stretch of text in one style. Takes a piece, where its parent makes HTML. */
  transform_to_html(stretch) {
    const classes = ["bold", "faint", "italic", "underline"].filter((one) => stretch[one]).map((one) => `ansi-${one}`);
    if (stretch.fg) classes.push(`${this.colour(stretch.fg)}-fg`);
    if (stretch.bg) classes.push(`${this.colour(stretch.bg)}-bg`);
    if (stretch.text) this.pieces.push({ text: inert(stretch.text), classes: classes.join(" ") });
    return "";
  }

  /** The name of a colour, or that of the nearest of the 16 that the theme knows. */
  colour({ rgb, class_name: name }) {
    if (name !== "truecolor") return name;
    const key = rgb.join();
    if (!this.nearest.has(key)) {
      const distance = (other) => rgb.reduce((sum, part, index) => sum + (part - other.rgb[index]) ** 2, 0);
      const known = this.palette_256.slice(0, 16);
      this.nearest.set(key, known.reduce((best, one) => (distance(one) < distance(best) ? one : best)).class_name);
    }
    return this.nearest.get(key);
  }
}

/** Lines as pieces: `texts` are `{stream, text}` in their order, `styles` is what `paint` returned for the lines before
 * (`{}` at the beginning). A style goes on in the next line of its stream, as it does in a terminal. */
export function paint(texts, styles = {}) {
  let painter = null;
  const ends = { ...styles };
  const lines = texts.map(({ stream, text }) => {
    const style = ends[stream] ?? UNSTYLED;
    if (style === UNSTYLED && !text.includes("\x1b")) return text ? [{ text: inert(text), classes: "" }] : [];
    painter ??= new Painter();
    const { pieces, style: end } = painter.paint(text, style);
    ends[stream] = isPlain(end) ? UNSTYLED : end;
    return pieces;
  });
  return { lines, styles: ends };
}

/** The sequences in a text that set a style, without the text; only what the last reset left. */
export function stylesIn(text) {
  const found = text.match(STYLE) ?? [];
  const reset = found.findLastIndex((one) => /^\x1b\[0?m$/.test(one));
  return found.slice(reset < 0 ? -MOST_STYLES : Math.max(reset, found.length - MOST_STYLES)).join("");
}
const MOST_STYLES = 16;

const isPlain = (style) => Object.values(style).every((one) => !one);

/** A text whose only sequences are those that ansi_up knows. */
function cleaned(text) {
  return text.replace(WITH_TEXT, "").replace(SHORT, "").replace(STYLE, (one) => (one.includes(":") ? plainer(one) : one));
}

/** A style whose parts stand between colons (`38:2::10:20:30`, `4:3`), written with semicolons (`38;2;10;20;30`, `4`). */
function plainer(sequence) {
  const parts = sequence.slice(2, -1).split(";").map((part) => {
    const [first, ...rest] = part.split(":");
    if (first !== "38" && first !== "48") return rest[0] === "0" ? `2${first}` : first;
    const values = rest[0] === "2" && rest.length > 4 ? [rest[0], ...rest.slice(-3)] : rest;
    return [first, ...values].join(";");
  });
  return `\x1b[${parts.join(";")}m`;
}

/** Pieces with the places marked that match a search: `{text, classes, mark}`. */
export function marked(pieces, pattern) {
  const whole = pieces.map((piece) => piece.text).join("");
  const ranges = [...whole.matchAll(pattern)].map((match) => [match.index, match.index + match[0].length]);
  if (ranges.length === 0) return pieces;
  const cuts = [...new Set([0, ...ranges.flat(), whole.length])].sort((a, b) => a - b);
  const inside = (at) => ranges.some(([from, to]) => from <= at && at < to);
  let from = 0;
  return pieces.flatMap(({ text, classes }) => {
    const [begin, end] = [from, from + text.length];
    from = end;
    const own = [begin, ...cuts.filter((cut) => begin < cut && cut < end), end];
    return own.slice(1).map((cut, index) => ({
      text: whole.slice(own[index], cut),
      classes,
      mark: inside(own[index]),
    }));
  });
}

/** A text as a person sees it: without its escape sequences. */
export const plain = (text) => paint([{ stream: "stdout", text }]).lines[0].map((piece) => piece.text).join("");

/** What a search looks for, as a pattern: the text itself, in any case unless `exact`. */
export function patternOf(text, exact) {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), exact ? "g" : "gi");
}
