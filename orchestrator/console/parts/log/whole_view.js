// A log of moderate length: all of its lines are in the page, so that the browser's own search, selection and printing
// work on them. Of many, the browser lays out only the blocks that are seen (`content-visibility`).
import { html, useEffect, useLayoutEffect, useRef } from "../../app/html.js";
import { BlockView } from "./block.js";
import { BLOCK, blockOf } from "./blocks.js";
import { useBox } from "./box.js";

/** Pixels from the end within which a person is at the end. */
const NEAR = 8;
/** The blocks at the end that are read first. */
const SEEN = 2;
/** The most blocks whose lines are laid out even if they are not seen. */
const FEW = 3;

/** `<WholeView output look place label/>`. `place` is where the person is: `{following, top, target}` (see viewer.js). */
export function WholeView({ output, look, place, label }) {
  const box = useRef(null);
  const { lines } = output.facts.value;
  const version = output.version.value;
  const blocks = Math.max(1, Math.ceil(lines / BLOCK));
  const target = place.target.value;
  const following = place.following.value;

  useEffect(() => {
    const near = following ? blocks - SEEN : blockOf(target ?? place.top.peek()) - 1;
    output.want(0, blocks - 1, Math.max(0, near));
  }, [blocks, version, target, following]);

  const many = blocks > FEW;
  const settle = () => {
    const element = box.current;
    if (element === null) return; // the page shows something else by now
    const fits = !many && element.scrollHeight <= element.clientHeight && output.all();
    if (fits) place.following.value = true; // the end is seen
    if (place.following.peek()) element.scrollTop = element.scrollHeight;
    else if (place.target.peek() !== null) show(element, place);
  };
  useBox(box, lines, settle);
  useLayoutEffect(settle, [lines, version, target, following, look]);

  const onScroll = ({ currentTarget: element }) => {
    place.following.value = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
    place.top.value = lineAtTop(element);
  };
  const release = () => {
    place.target.value = null;
  };
  return html`<div class="log-box" ref=${box} tabindex="0" role="region" aria-label=${label}
    onScroll=${onScroll} onWheel=${release} onPointerDown=${release} onKeyDown=${release}>
    <div class=${`log-lines ${many ? "log-many" : ""}`}>
      ${Array.from({ length: blocks }, (_, index) => html`<${BlockView} key=${index} index=${index}
        block=${output.blocks.at(index)} last=${lines} look=${look} />`)}
    </div>
  </div>`;
}

/** Scroll to the line that is to be seen, once it is here. It stays the target until the person moves, as the heights of
 * the lines before it may be estimates. */
function show(element, place) {
  const line = place.target.peek();
  const seen = element.querySelector(`[data-line="${line}"]`) ?? element.firstElementChild.children[blockOf(line)];
  if (!seen) return;
  const distance = seen.getBoundingClientRect().top - element.getBoundingClientRect().top;
  element.scrollTop += distance - element.clientHeight / 3;
}

/** The line at the upper edge, about. */
function lineAtTop(element) {
  const edge = element.getBoundingClientRect().top;
  const blocks = element.firstElementChild.children;
  const index = firstBelow(blocks, edge);
  const rows = blocks[index]?.children ?? [];
  const row = rows[firstBelow(rows, edge)];
  return Number(row?.dataset.line ?? index * BLOCK + 1);
}

/** The first of some elements, one below the other, whose lower edge is below `edge`. */
export function firstBelow(elements, edge) {
  let [low, high] = [0, elements.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (elements[middle].getBoundingClientRect().bottom > edge) high = middle;
    else low = middle + 1;
  }
  return Math.max(0, low);
}
