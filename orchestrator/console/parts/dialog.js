// Questions before something is done that cannot be undone, and other small windows over the page.
import { swallowSecond } from "../app/clicks.js";
import { html, signal, useEffect, useLayoutEffect, useRef } from "../app/html.js";
import { route, written } from "../app/router.js";

const asked = signal(null);

/** Ask. `await confirm({title: "Cancel 3 jobs?", text: "…", action: "Cancel 3 jobs", danger: true})` is true if the
 * person chose the action. */
export function confirm({ title, text, action, danger = false }) {
  asked.value?.answer(false);
  return new Promise((resolve) => {
    const answer = (value) => {
      asked.value = null;
      resolve(value);
    };
    asked.value = { title, text, action, danger, answer };
  });
}

/** Where questions appear. The shell has it once. A question ends, unanswered, with the page that it is about: the browser's
 * Back leaves that page although the question stands before it. */
export function Questions() {
  const place = written({ ...route.value, hash: "" });
  useLayoutEffect(() => () => asked.peek()?.answer(false), [place]);
  if (!asked.value) return null;
  const { title, text, action, danger, answer } = asked.value;
  return html`<${Dialog} title=${title} onClose=${() => answer(false)}>
    ${typeof text === "string" ? html`<p>${text}</p>` : text}
    <div class="buttons">
      <button type="button" onClick=${() => answer(false)}>Keep things as they are</button>
      <button type="button" class=${danger ? "danger" : "primary"} onClick=${() => answer(true)}>${action}</button>
    </div>
  <//>`;
}

/** A window over the page: `<Dialog title="Keys" onClose=${close}>…</Dialog>`. Escape closes it. */
export function Dialog({ title, onClose, wide = false, children }) {
  const element = useRef(null);
  const clicked = useRef(null);
  useEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      if (clicked.current) swallowSecond(clicked.current);
      before?.focus?.();
    };
  }, []);
  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  const onClick = (event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onCancel=${onCancel}
    onClickCapture=${(event) => (clicked.current = event)} onClick=${onClick}>
    <div class="dialog-body">
      <h2 id="dialog-title">${title}</h2>
      ${children}
    </div>
  </dialog>`;
}
