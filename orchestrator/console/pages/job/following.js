// A job that follows its timeline while somebody can see it.
//
// The page asks for the job and for its events so far. While the job is not over it streams further events, shows what
// they bring at once, and asks again for what they do not carry, but seldom for a large job. A hidden tab does neither.

import { get, stream } from "../../app/api.js";
import { useEffect, useRef, useState } from "../../app/html.js";
import { apply, needsAnswer } from "./model.js";

/** Events that come together are shown together: within this time, or within more for a job with many tasks. */
const GATHERING = 60;
const GATHERING_LARGE = 500;
const LARGE = 200;
/** What events do not carry is asked for after this time, or later the longer an answer takes. */
const SOON = 200;
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 30_000;
/** The most events that a page keeps: the oldest go first. */
const MOST_EVENTS = 50_000;
/** No event follows one of these. */
const LAST = new Set(["jobs.succeeded", "jobs.failed", "jobs.cancelled", "timeline.expired"]);

/** The job with this id: `{job, events, error, gone, connected, refresh}`. `job` is null until it is known, and stays when
 *  an error comes; `gone` is true when there is no such job (any more). */
export function useJob(id) {
  const [state, setState] = useState(EMPTY);
  const follower = useRef(null);
  useEffect(() => {
    setState(EMPTY);
    follower.current = new Follower(id, (change) => setState((old) => ({ ...old, ...change })));
    follower.current.start();
    return () => follower.current.stop();
  }, [id]);
  return { ...state, refresh: () => follower.current.load() };
}

const EMPTY = { job: null, events: [], error: null, gone: false, connected: true };

/** What keeps a job up to date. `tell(changes)` hears of each change of what `useJob` returns. */
export class Follower {
  constructor(id, tell, api = { get, stream }) {
    this.path = `/api/v1/jobs/${encodeURIComponent(id)}`;
    this.tell = tell;
    this.api = api;
    this.job = null;
    this.events = [];
    this.fresh = []; // events that are not shown yet
    this.since = []; // events that came while an answer was on its way, which may lack them
    this.asked = 0; // answers that were asked for; only the last one counts
    this.took = 0;
    this.retry = FIRST_RETRY;
    this.timers = {};
    this.onVisible = () => (document.visibilityState === "visible" ? this.resume() : this.pause());
  }

  start() {
    document.addEventListener("visibilitychange", this.onVisible);
    this.resume();
  }

  stop() {
    document.removeEventListener("visibilitychange", this.onVisible);
    this.pause();
  }

  resume() {
    this.going = new AbortController();
    this.load();
    this.follow(this.going.signal);
  }

  pause() {
    this.going?.abort();
    this.asked += 1;
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.timers = {};
    this.fresh = []; // the next stream brings them again
  }

  /** Ask for the job now. */
  async load() {
    if (this.going.signal.aborted) return;
    const asked = (this.asked += 1);
    this.since = [];
    const begun = performance.now();
    try {
      const { data } = await this.api.get("orchestrator", this.path);
      if (asked !== this.asked) return;
      this.took = performance.now() - begun;
      this.retry = FIRST_RETRY;
      this.show({ job: apply(data, this.since), error: null, gone: false });
    } catch (error) {
      if (asked !== this.asked) return;
      const gone = error.status === 404;
      this.tell({ error, gone });
      if (!gone) this.plan("retry", this.retry);
      this.retry = Math.min(this.retry * 2, LONGEST_RETRY);
    }
  }

  /** Ask for the job after this time, unless that is planned already. */
  plan(name, ms) {
    this.timers[name] ??= setTimeout(() => {
      delete this.timers[name];
      this.load();
    }, ms);
  }

  /** Ask for the events so far, and then stream further ones until the job's last. */
  async follow(signal) {
    const path = `${this.path}/events`;
    if (!this.events.length) {
      try {
        const { data } = await this.api.get("orchestrator", path, { signal });
        this.events = data.slice(-MOST_EVENTS);
        this.tell({ events: this.events });
      } catch (error) {
        if (signal.aborted || error.status === 404) return; // of an unknown job, `load` tells
        // Otherwise the stream brings them all, as soon as it can be opened.
      }
    }
    if (signal.aborted || this.events.some(({ type }) => LAST.has(type))) return;
    const lastEventId = this.events.at(-1)?.id ?? null;
    await this.api.stream("orchestrator", path, {
      lastEventId, signal, onEvent: (event) => this.hear(event), onState: (now) => this.onState(now),
    });
  }

  hear({ type, data, id }) {
    if (type === "end") return;
    this.fresh.push({ id, ...JSON.parse(data) });
    this.timers.gather ??= setTimeout(() => this.gathered(), this.job?.tasks.length > LARGE ? GATHERING_LARGE : GATHERING);
  }

  gathered() {
    clearTimeout(this.timers.gather);
    delete this.timers.gather;
    const fresh = this.fresh.splice(0);
    this.since.push(...fresh);
    this.events = [...this.events, ...fresh].slice(-MOST_EVENTS);
    this.show({ job: this.job && apply(this.job, fresh), events: this.events });
    if (fresh.some(needsAnswer)) this.plan("ask", Math.max(SOON, 10 * this.took));
  }

  onState(now) {
    if (now === "open") this.tell({ connected: true });
    else if (now === "waiting") this.tell({ connected: false });
    else if (now === "ended") {
      this.gathered();
      this.load();
    } else this.tell({ error: now, gone: now.status === 404 });
  }

  show(change) {
    this.job = change.job;
    this.tell(change);
  }
}
