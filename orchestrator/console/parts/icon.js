// Small pictures, drawn with the colour of the text around them.
import { html } from "../app/html.js";

const PATHS = {
  check: "M3.5 8.5l3 3 6-7",
  cross: "M4.5 4.5l7 7m0-7l-7 7",
  dot: "M8 8h.01",
  ring: "M8 3a5 5 0 1 0 5 5",
  clock: "M8 4.5V8l2.5 1.5M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z",
  bar: "M4 8h8",
  pause: "M6 4.5v7m4-7v7",
  skip: "M4 4.5L8.5 8 4 11.5m7.5-7v7",
  warn: "M8 3l6 10H2zM8 7v2.5m0 1.8v.1",
  plus: "M8 3.5v9m-4.5-4.5h9",
  search: "M10.5 10.5L14 14M12 7a5 5 0 1 1-10 0 5 5 0 0 1 10 0z",
  sun: "M8 1.5v1.3m0 10.4v1.3M1.5 8h1.3m10.4 0h1.3M3.4 3.4l.9.9m7.4 7.4l.9.9m0-9.2l-.9.9m-7.4 7.4l-.9.9M11 8a3 3 0 1 1-6 0 3 3 0 0 1 6 0z",
  moon: "M13 9.8A5.6 5.6 0 0 1 6.2 3a5.6 5.6 0 1 0 6.8 6.8z",
  auto: "M8 2.5v11M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z",
  copy: "M5.5 5.5h7v8h-7zM10.5 5.5v-3h-7v8h2",
  code: "M5.5 4.5L2 8l3.5 3.5m5-7L14 8l-3.5 3.5",
  now: "M2 9h3l2-5 2.5 8 1.5-3h3",
  jobs: "M2.5 4h11m-11 4h11m-11 4h7",
  pipelines: "M4 5.5v5m1.5-6.5h4a2 2 0 0 1 2 2v.5M5.5 4A1.5 1.5 0 1 1 2.5 4a1.5 1.5 0 0 1 3 0zm0 8a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zm7.5-4a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0z",
  schedules: "M2.5 4.5h11v9h-11zM2.5 7.5h11M5.5 2.5v2m5-2v2",
  queue: "M2.5 3.5h11v2.5h-11zM2.5 8h11m-11 2.5h11m-11 2.5h11",
  workers: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
  run: "M5 3.5l7 4.5-7 4.5z",
  settings: "M2.5 4.5h6m3 0h2m-11 7h2m3 0h6M11.5 4.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zm-4 7a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0z",
  chevron: "M6 4l4 4-4 4",
};

/** `<Icon name="check"/>`: decoration only; the words beside it tell the same. */
export function Icon({ name, class: extra = "" }) {
  return html`<svg class=${`icon ${extra}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
    <path d=${PATHS[name] ?? PATHS.dot} fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" />
  </svg>`;
}
