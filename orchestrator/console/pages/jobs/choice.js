// Which jobs of the list are chosen. It is one value, so that what is shown and what is acted on cannot differ.
import { signal } from "../../app/html.js";

/** All jobs that match the filters, those of other pages too. */
export const ALL = Symbol("all that match");

/** A signal of what is chosen: the Set of the ids of the rows, or ALL. At first, no row. */
export const newChoice = () => signal(new Set());

/** The choice as the table's checkboxes show and set it. With ALL, each row is checked; a checkbox that the person changes
 * leaves what the checkboxes then show, and no longer all that match. */
export function checkboxes(choice, rows) {
  const every = new Set(rows.map(({ id }) => id));
  return {
    get value() {
      return choice.value === ALL ? every : choice.value;
    },
    set value(ids) {
      choice.value = ids;
    },
  };
}

/** The rows that are chosen. */
export function chosenOf(choice, rows) {
  const checked = checkboxes(choice, rows).value;
  return rows.filter(({ id }) => checked.has(id));
}
