// The scheduler's explanation of why a task waits.
import { get } from "../../app/api.js";

// The task is gone (404), it is no longer one that waits (409), or the orchestrator, which knows where it went, is away (503).
const NOT_KNOWN = [404, 409, 503];

/** Why a task waits; null if that is not known. The queue may have changed since it was read. */
export async function explained({ task_id: id }, signal) {
  try {
    return (await get("scheduler", `/api/v1/tasks/${id}/explain`, { signal })).data;
  } catch (error) {
    if (NOT_KNOWN.includes(error.status)) return null;
    throw error;
  }
}
