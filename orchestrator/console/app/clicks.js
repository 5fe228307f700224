// Clicks that were meant for what is no longer there.

const SOON = 500; // ms: as long as systems take two clicks for a double click
const NEAR = 10; // pixels

/** Whether a click is the second of a double click whose first was this one. One of the keyboard has no place, and is not. */
export function isSecond(first, click) {
  if (!first?.detail || !click.detail || click.timeStamp - first.timeStamp > SOON) return false;
  return Math.abs(click.clientX - first.clientX) <= NEAR && Math.abs(click.clientY - first.clientY) <= NEAR;
}

/** A window over the page has closed at this click: the clicks that belong to it do not reach what was below the window. The
 * first other click ends this. */
export function swallowSecond(first, target = document) {
  const onClick = (event) => {
    if (!isSecond(first, event)) return target.removeEventListener("click", onClick, { capture: true });
    event.preventDefault();
    event.stopImmediatePropagation();
    return undefined;
  };
  target.addEventListener("click", onClick, { capture: true });
}
