// The box of a table, which scrolls sideways where there is no room, and shows at its edges that it does.
import { html, useEffect, useRef } from "../app/html.js";

/** `<ScrollBox label="Jobs"><table>…</table><//>`: an edge beyond which there is more has a shadow. */
export function ScrollBox({ label, children }) {
  const box = useRef(null);
  const look = () => {
    if (box.current === null) return; // the table is gone
    const { scrollLeft, scrollWidth, clientWidth, classList } = box.current;
    classList.toggle("more-before", scrollLeft > 1);
    classList.toggle("more-after", scrollLeft + clientWidth < scrollWidth - 1);
  };
  useEffect(() => {
    const observer = new ResizeObserver(look);
    observer.observe(box.current);
    observer.observe(box.current.firstElementChild);
    return () => observer.disconnect();
  }, []);
  return html`<div class="table-box" role="region" aria-label=${label} tabindex="0" ref=${box} onScroll=${look}>${children}</div>`;
}
