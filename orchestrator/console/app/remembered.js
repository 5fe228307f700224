// What this browser remembers of a person's choices. Nothing secret goes here.
import { effect, signal } from "@preact/signals";

const known = new Map();

/** A signal whose value outlives the page: one for each name. Without storage it lives as long as the page. */
export function remembered(name, initial) {
  if (!known.has(name)) known.set(name, make(`hodei.${name}`, initial));
  return known.get(name);
}

function make(key, initial) {
  const value = signal(read(key) ?? initial);
  let first = true;
  effect(() => {
    const text = JSON.stringify(value.value);
    if (!first) write(key, text);
    first = false;
  });
  return value;
}

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null; // no storage here, or a value that something else wrote
  }
}

function write(key, text) {
  try {
    localStorage.setItem(key, text);
  } catch {
    // A browser without storage, or a full one: the choice lasts as long as the page.
  }
}
