// How many jobs ended in each span of time, as bars: those that succeeded below, those that failed above.
import { html } from "../app/html.js";
import { count, plural } from "../app/text.js";
import { formatTime } from "../app/time.js";

const WIDTH = 480;
const HEIGHT = 88;

/** `buckets`: `[{at, succeeded, failed, cancelled}]`, each `step` seconds long. */
export function Throughput({ buckets, step }) {
  const ended = (one) => one.succeeded + one.failed + one.cancelled;
  const most = Math.max(1, ...buckets.map(ended));
  const total = buckets.reduce((sum, one) => sum + ended(one), 0);
  const each = WIDTH / Math.max(1, buckets.length);
  return html`<svg class="throughput" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img"
      aria-label=${`${plural(total, "job")} ended; at most ${count(most)} in ${step / 60} minutes`}>
      ${buckets.map((one, index) => html`<${Bar} key=${one.at} bucket=${one} x=${index * each} width=${each * 0.72} scale=${HEIGHT / most} />`)}
      <line x1="0" x2=${WIDTH} y1=${HEIGHT} y2=${HEIGHT} />
    </svg>
    <p class="axis help"><span>${formatTime(buckets[0]?.at, { seconds: false })}</span><span>${plural(total, "job")}</span><span>now</span></p>`;
}

function Bar({ bucket, x, width, scale }) {
  let y = HEIGHT;
  const words = ["succeeded", "cancelled", "failed"].filter((key) => bucket[key] > 0).map((key) => `${count(bucket[key])} ${key}`);
  return html`<g>
    <title>${`${formatTime(bucket.at, { seconds: false })}: ${words.join(", ") || "none"}`}</title>
    <rect class="reach" x=${x} y="0" width=${width} height=${HEIGHT} />
    ${["succeeded", "cancelled", "failed"].map((key) => {
      const height = bucket[key] === 0 ? 0 : Math.max(1.5, bucket[key] * scale);
      y -= height;
      return html`<rect class=${`bar-${key}`} x=${x} y=${y} width=${width} height=${height} />`;
    })}
  </g>`;
}
