// A log of any length: only the blocks around what is seen are in the page, and read. The scroll bar stands for all of it.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../app/html.js";
import { BlockView } from "./block.js";
import { blockOf } from "./blocks.js";
import { useBox } from "./box.js";
import { LongScroll } from "./long_scroll.js";

/** `<LongView output look place label/>`, as WholeView. */
export function LongView({ output, look, place, label }) {
  const [box, content, scroll] = [useRef(null), useRef(null), useRef(null)];
  const [range, setRange] = useState([0, 0]);
  const { lines } = output.facts.value;
  const version = output.version.value;
  const target = place.target.value;
  const following = place.following.value;

  useBox(box, lines, () => {
    scroll.current.resize(scroll.current.lines);
    scroll.current.place(place.following.peek());
  });

  useLayoutEffect(() => {
    const moved = (now) => {
      place.following.value = now.following;
      place.top.value = now.top;
    };
    const wanted = (next) => setRange((old) => (old[0] === next[0] && old[1] === next[1] ? old : next));
    scroll.current = new LongScroll(box.current, content.current, { moved, wanted });
    scroll.current.resize(output.facts.peek().lines);
    if (!place.following.peek()) scroll.current.show(place.target.peek() ?? place.top.peek());
    return () => scroll.current.stop();
  }, [output]);

  useLayoutEffect(() => {
    scroll.current.resize(lines);
    if (following) scroll.current.toEnd();
  }, [lines, following]);

  useLayoutEffect(() => {
    if (target === null) return;
    scroll.current.show(target);
    place.target.value = null;
  }, [target]);

  useEffect(() => output.want(...range), [range, version]);

  const [first, last] = [Math.min(range[0], blockOf(lines)), Math.min(range[1], blockOf(lines))];
  useLayoutEffect(() => {
    scroll.current.range = [first, last];
    for (let index = first; index <= last; index += 1) output.blocks.touch(index);
    scroll.current.place(following);
  }, [first, last, version, look, following, lines, target]);

  return html`<div class="log-box" ref=${box} tabindex="0" role="region" aria-label=${label}
    onScroll=${() => scroll.current.onScroll()} onScrollEnd=${() => scroll.current.settle()}>
    <div class="log-track">
      <div class="log-lines log-window" ref=${content}>
        ${Array.from({ length: last - first + 1 }, (_, at) => html`<${BlockView} key=${first + at} index=${first + at}
          block=${output.blocks.at(first + at)} last=${lines} look=${look} />`)}
      </div>
    </div>
  </div>`;
}
