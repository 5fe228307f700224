// Something that a person does on a page: the call, what is said of it, and that it is not done twice at once.
import { useRef, useState } from "./html.js";
import { failed, toast } from "../parts/toast.js";
import { pageTitle, useHere } from "./here.js";
import { ofAction } from "./problem.js";

/**
 * `const {act, busy, error, clear} = useAct(refresh)`; `act(call, "The worker is drained")` makes the call, shows the words
 * and reloads the page's data. `call(here)` goes to another page only if `here()`: the person may have left meanwhile. An error stays in `error` until the next action, or `clear()`; if the page was left meanwhile,
 * a message over the page that is open tells it.
 */
export function useAct(refresh) {
  const [state, setState] = useState({ busy: false, error: null });
  const going = useRef(false);
  const here = useHere();
  const act = async (call, done) => {
    if (going.current) return;
    going.current = true;
    const page = pageTitle();
    setState({ busy: true, error: null });
    try {
      await call(here);
      setState({ busy: false, error: null });
      toast(done);
    } catch (raised) {
      const error = ofAction(raised);
      setState({ busy: false, error });
      if (!here()) failed(page, error);
    } finally {
      going.current = false;
    }
    refresh();
  };
  return { ...state, act, clear: () => setState({ busy: false, error: null }) };
}
