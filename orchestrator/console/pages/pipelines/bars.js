// The last runs of a pipeline as bars: how high each is, and what it says. Pure.

/** Bars for runs that come newest first, drawn oldest first: `[{x, y, width, height, id, status, duration}]`, with room for
 *  `places` of them. The longest run has the full height; a run that has no duration yet is as high as it has lasted until
 *  `now` (ms), and every bar can be seen and clicked. */
export function bars(runs, { width, height, now, places = 30, gap = 2, least = 4 }) {
  const lasted = runs.map((run) => durationOf(run, now)).reverse();
  const longest = Math.max(...lasted, 0);
  const step = width / Math.max(runs.length, places);
  return [...runs].reverse().map((run, at) => {
    const tall = longest > 0 ? Math.max(least, (lasted[at] / longest) * height) : least;
    return {
      id: run.id, status: run.status, duration: lasted[at],
      x: at * step, y: height - tall, width: Math.max(1, step - gap), height: tall,
    };
  });
}

/** Milliseconds that a run has taken; 0 for one that has not started. */
export function durationOf(run, now) {
  if (run.duration !== null && run.duration !== undefined) return run.duration * 1000;
  return run.started_at ? Math.max(0, (run.finished_at ? Date.parse(run.finished_at) : now) - Date.parse(run.started_at)) : 0;
}
