// Helpers for all parts of the page.

export const byId = (id) => document.getElementById(id);

/** Show an error below a field; "" clears it. */
export function fail(field, message) {
  byId(`${field}-error`).textContent = message;
  const control = byId(field);
  if (control?.matches("input, textarea, select")) control.toggleAttribute("aria-invalid", Boolean(message));
}

export function show(id, message) {
  byId(id).textContent = message;
}

/** Create an element with a class and text or child elements. */
export function create(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

/** Names of languages in English: `languageNames().of("fr")` is "French". */
export const languageNames = () => new Intl.DisplayNames(["en"], { type: "language" });

/** 75.2 → "1:15". */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Let the browser save a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser may ask for a file name first
}
