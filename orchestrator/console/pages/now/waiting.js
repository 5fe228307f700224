// What most of the tasks that wait are waiting for. No markup here.
import { reason } from "../queue/reasons.js";

/** The commonest reason of a queue's tasks, in words; null if none is known. `explained` is as for `reason`. */
export function commonest(tasks, explained, now) {
  const found = new Map();
  for (const task of tasks) {
    const { text, refusals } = reason(task, explained, now);
    if (text === null) continue;
    const known = found.get(text) ?? { number: 0, refusals };
    found.set(text, { ...known, number: known.number + 1 });
  }
  const [first] = [...found].sort(([, one], [, other]) => other.number - one.number);
  return first ? told(first[0], first[1].refusals) : null;
}

// The summary ends with a reason after a colon if the workers have different ones.
function told(text, refusals) {
  return [text, ...refusals].join(text.includes(": ") ? ", " : "; ");
}
