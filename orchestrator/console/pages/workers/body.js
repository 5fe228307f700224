// The form of a new worker, and the request that it stands for. No markup here.

import { pairs } from "../../app/pairs.js";

/** The form as it is first shown. */
export const EMPTY = { name: "", type: "", labels: "", slots: "", cpu: "", memory: "", gpu: "" };

/** The body of the worker manager's `POST /api/v1/workers`. Throws a TypeError whose `field` names what cannot be read. */
export function workerBody(form) {
  const labels = pairs(form.labels, "labels");
  const capacity = {
    ...amount("cpu_m", form.cpu, 1000, "capacity.cpu_m"),
    ...amount("memory_mb", form.memory, 1, "capacity.memory_mb"),
    ...amount("gpu", form.gpu, 1, "capacity.gpu"),
  };
  return {
    ...(form.name.trim() === "" ? {} : { name: form.name.trim() }),
    ...(form.type.trim() === "" ? {} : { type: form.type.trim() }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...amount("slots", form.slots, 1, "slots"),
    ...(Object.keys(capacity).length === 0 ? {} : { capacity }),
  };
}

function amount(name, text, times, field) {
  if (text.trim() === "") return {};
  const value = Number(text) * times;
  if (!Number.isInteger(value) || value < 0) {
    throw Object.assign(new TypeError(`“${text}” must be a number`), { field });
  }
  return { [name]: value };
}
