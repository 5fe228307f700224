// Keys: what each does on the open page, and the list that `?` shows.
import { signal, useEffect, useRef } from "./html.js";

/** The keys that work now, the newest last: each `{keys: {key: function}, help: {key: text}}`. */
export const bound = signal([]);

const PATIENCE = 1500;
let first = null;

/** Bind keys while a component is shown: `useKeys({"j": down, "g j": jobs}, {"j": "Next row"})`. Keys without a help
 * text are not listed. A function may return false to pass the key on. */
export function useKeys(keys, help = {}) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const entry = { get keys() { return latest.current; }, help };
    bound.value = [...bound.peek(), entry];
    return () => {
      bound.value = bound.peek().filter((one) => one !== entry);
    };
  }, []);
}

/** Listen. Called once, by the page. In a field keys are text, until Escape leaves it. */
export function startKeys() {
  document.addEventListener("keydown", onKey);
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.key === "Shift") return undefined;
  if (document.querySelector("dialog[open]")) return undefined;
  if (isTyping(event.target)) return event.key === "Escape" ? event.target.blur() : undefined;
  const begun = first && event.timeStamp - first.at < PATIENCE ? first.key : null;
  first = null;
  if (begun && run(`${begun} ${event.key}`)) return event.preventDefault();
  if (run(event.key)) return event.preventDefault();
  if (bound.peek().some(({ keys }) => Object.keys(keys).some((one) => one.startsWith(`${event.key} `)))) {
    first = { key: event.key, at: event.timeStamp };
  }
  return undefined;
}

function run(key) {
  for (const { keys } of [...bound.peek()].reverse()) {
    if (Object.hasOwn(keys, key) && keys[key]() !== false) return true;
  }
  return false;
}

function isTyping(target) {
  return Boolean(target.closest?.("input, textarea, select, [contenteditable]"));
}
