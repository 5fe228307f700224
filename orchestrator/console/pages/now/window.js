// The time over which the first page counts jobs. Pure.

/** Seconds of each bar. */
export const STEP = 1800;
const DAY = 24 * 3600 * 1000;

/** From when the jobs of a day are counted, at a time (ms): the beginning of a bar. The tiles name it, and their links list the
 * jobs that ended since then. */
export const dayBefore = (at) => new Date(Math.floor((at - DAY) / (STEP * 1000)) * STEP * 1000).toISOString();
