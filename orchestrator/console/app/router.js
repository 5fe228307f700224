// Where the page is: its path below the console, its parameters, its query and its fragment, all held by the URL.
import { signal } from "@preact/signals";
import { findPage } from "./routes.js";

const root = () => new URL("console", document.baseURI).pathname;

/** `{path, pattern, params, query, hash}` of the page that is open. */
export const route = signal({ path: "/", pattern: "/", params: {}, query: {}, hash: "" });

/** The address of a page: `href("/jobs", {status: "failed"})`. Parameters that are null, undefined or "" are left out.
 * A list stands for several. */
export function href(path, query = {}) {
  const text = queryText(query);
  return root() + path + (text && `?${text}`);
}

/** Go to a page. With `replace`, the page before it is not kept in the browser's history. */
export function navigate(path, { query = {}, hash = "", replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href(path, query) + hash);
  read();
}

/** Change some parameters of this page's query; the others stay. Filters live in the URL. */
export function setQuery(changes, { replace = true } = {}) {
  const { path, query, hash } = route.peek();
  navigate(path, { query: { ...query, ...changes }, hash, replace });
}

/** Follow the browser's history, and clicks on links to other pages of the console. Called once, by the page. */
export function startRouter() {
  addEventListener("popstate", read);
  addEventListener("hashchange", read);
  document.addEventListener("click", onClick);
  read();
}

function read() {
  const url = new URL(location.href);
  const path = url.pathname.slice(root().length).replace(/\/+$/, "") || "/";
  const { pattern, params } = findPage(path);
  route.value = { path, pattern, params, query: readQuery(url.searchParams), hash: url.hash };
}

function onClick(event) {
  const link = event.target.closest?.("a[href]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  const inside = url.pathname === root() || url.pathname.startsWith(`${root()}/`);
  if (url.origin !== location.origin || !inside) return;
  event.preventDefault();
  if (url.href !== location.href) history.pushState(null, "", url.href);
  read();
  if (!url.hash && !link.closest("[data-keeps-scroll]")) scrollTo(0, 0);
}

/** Where a page is, as a text that another page can lead back to: `/jobs?label=a#1`. */
export function written({ path, query, hash }) {
  const text = queryText(query);
  return path + (text && `?${text}`) + hash;
}

/** The place that such a text names; the first page if it names none of the console. */
export function placeOf(text) {
  const inside = typeof text === "string" && /^\/(?![/\\])/.test(text);
  const { pathname: path, searchParams, hash } = new URL(inside ? text : "/", "http://any");
  return { path, query: readQuery(searchParams), hash };
}

/** Parameters as an object. One that is given several times is a list. */
export function readQuery(search) {
  const query = {};
  for (const key of new Set(search.keys())) {
    const values = search.getAll(key);
    query[key] = values.length > 1 ? values : values[0];
  }
  return query;
}

/** A query as text, in the order of its keys. */
export function queryText(query) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") search.append(key, String(one));
    }
  }
  return search.toString();
}
