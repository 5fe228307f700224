// The box in which a log scrolls: as high as the window lets it, with room for the numbers of its lines.
import { useLayoutEffect } from "../../app/html.js";

/** The least pixels of a box, and those below it. */
const LEAST = 260;
const BELOW = 24;

/** Keep a box (a ref to it) as high as there is room below its upper edge, and its column of numbers as wide as that of
 * `lines`. A log that needs less has less. `resized` is called when the box, or what is in it, has another size. */
export function useBox(box, lines, resized) {
  useLayoutEffect(() => {
    const element = box.current;
    const fit = () => {
      const top = element.getBoundingClientRect().top + (element.closest(".log-large") ? 0 : scrollY);
      element.style.maxHeight = `${Math.max(LEAST, innerHeight - top - BELOW)}px`;
    };
    const observer = new ResizeObserver(() => {
      if (!element.isConnected) return;
      fit();
      resized();
    });
    for (const one of [element, element.firstElementChild, element.closest("main") ?? document.body]) observer.observe(one);
    addEventListener("resize", fit);
    fit();
    return () => {
      observer.disconnect();
      removeEventListener("resize", fit);
    };
  }, []);
  useLayoutEffect(() => {
    box.current.style.setProperty("--digits", String(lines).length);
  }, [lines]);
}
