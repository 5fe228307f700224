// Every page: its path, and the module that shows it, which is loaded when the page is first opened.

const PAGES = [
  ["/", () => import("../pages/now.js")],
  ["/jobs", () => import("../pages/jobs.js")],
  ["/jobs/:id", () => import("../pages/job.js")],
  ["/run", () => import("../pages/run.js")],
  ["/pipelines", () => import("../pages/pipelines.js")],
  ["/pipelines/:id", () => import("../pages/pipeline.js")],
  ["/schedules", () => import("../pages/schedules.js")],
  ["/schedules/:id", () => import("../pages/schedule.js")],
  ["/queue", () => import("../pages/queue.js")],
  ["/workers", () => import("../pages/workers.js")],
  ["/workers/:id", () => import("../pages/worker.js")],
  ["/settings", () => import("../pages/settings.js")],
  ["/search", () => import("../pages/search.js")],
  ["/sign-in", () => import("../pages/sign-in.js")],
];
const UNKNOWN = () => import("../pages/unknown.js");

/** The pages that the navigation lists, each with the letter that goes to it after `g`. */
export const NAVIGATION = [
  { path: "/", title: "Now", letter: "n" },
  { path: "/jobs", title: "Jobs", letter: "j" },
  { path: "/pipelines", title: "Pipelines", letter: "p" },
  { path: "/schedules", title: "Schedules", letter: "s" },
  { path: "/queue", title: "Queue", letter: "q" },
  { path: "/workers", title: "Workers", letter: "w" },
  { path: "/run", title: "Run", letter: "r" },
  { path: "/settings", title: "Settings", letter: "t" },
];

/** The module of a path's page, and the parameters that the path has. Every path has one. */
export function findPage(path) {
  for (const [pattern, load] of PAGES) {
    const params = match(pattern, path);
    if (params) return { pattern, load, params };
  }
  return { pattern: "", load: UNKNOWN, params: {} };
}

function match(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const params = {};
  for (const [index, part] of wanted.entries()) {
    if (!part.startsWith(":")) {
      if (part !== given[index]) return null;
    } else if (given[index] === "") {
      return null;
    } else {
      params[part.slice(1)] = decoded(given[index]);
    }
  }
  return params;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not percent-encoded: the id does not exist, and the page says so
  }
}
