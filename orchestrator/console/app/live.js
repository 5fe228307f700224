// Data that keeps itself up to date while somebody can see it.
import { signal, useEffect, useRef, useState } from "./html.js";

/** True while the person has stopped the updates of all pages. */
export const paused = signal(false);

const LONGEST = 30_000;
const AGAIN = 2000;

/** Load data now, and again `every` so many milliseconds (0: once, and again after an error that may pass) while the tab
 * is visible, until the component is gone. `load({signal})` returns the data or raises; an error may have as `partial` those
 * that it could load. Returns `{data, error, loading, stale, refresh}`: after an error the last data stays, `stale` tells
 * that it is old, and the pauses grow. When `deps` change it loads anew and keeps what it shows until then. */
export function useLive(load, deps = [], { every = 2000 } = {}) {
  const [state, setState] = useState({ data: undefined, error: null, loading: true });
  const latest = useRef(load);
  latest.current = load;
  const refresh = useRef(() => {});
  useEffect(() => {
    const watch = new Watch((options) => latest.current(options), every, (change) => setState((old) => ({ ...old, ...change })));
    refresh.current = () => watch.run();
    setState((old) => ({ ...old, loading: true }));
    watch.run();
    return () => watch.stop();
  }, deps);
  return { ...state, stale: state.error !== null && state.data !== undefined, refresh: () => refresh.current() };
}

/** One `load` that is repeated until `stop()`. After that, `run()` does nothing: an action of a page that was left may
 * still ask for it. */
export class Watch {
  constructor(load, every, tell) {
    this.load = load;
    this.every = every;
    this.tell = tell;
    this.failures = 0;
    this.timer = null;
    this.abort = null;
    this.stopped = false;
    this.onVisible = () => document.visibilityState === "visible" && !paused.peek() && this.run();
    document.addEventListener("visibilitychange", this.onVisible);
    this.release = paused.subscribe((stopped) => !stopped && this.timer !== null && this.run());
  }

  /** Load now. Another load that goes on is given up. */
  async run() {
    if (this.stopped) return;
    clearTimeout(this.timer);
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    try {
      const data = await this.load({ signal: abort.signal });
      if (abort.signal.aborted) return;
      this.failures = 0;
      this.tell({ data, error: null, loading: false });
    } catch (error) {
      if (abort.signal.aborted) return;
      this.failures += 1;
      this.tell({ error, loading: false, ...(error.partial !== undefined && { data: error.partial }) });
      if (!this.every && !mayPass(error)) return;
    }
    this.plan();
  }

  plan() {
    if (!this.every && !this.failures) return;
    const every = this.every || AGAIN;
    const pause = Math.min(every * 2 ** Math.min(this.failures, 5), Math.max(LONGEST, every));
    this.timer = setTimeout(() => {
      if (document.visibilityState === "visible" && !paused.peek()) this.run();
    }, pause);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.abort?.abort();
    this.release();
    document.removeEventListener("visibilitychange", this.onVisible);
  }
}

/** Whether the same call may succeed later: no answer came, or the service is busy or unwell. */
function mayPass({ offline, status }) {
  return Boolean(offline) || status === 429 || status >= 500;
}
