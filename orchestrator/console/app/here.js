// Whether the page that asked for something is still open when the answer comes.
import { useEffect, useRef } from "./html.js";

/** `const here = useHere()`: `here()` is true until the component is gone. */
export function useHere() {
  const gone = useRef(false);
  useEffect(() => {
    gone.current = false;
    return () => (gone.current = true);
  }, []);
  return () => !gone.current;
}

/** The title of the open page: "Job 8f2c01ab". */
export const pageTitle = () => document.title.replace(/ · Hodei$/, "");
