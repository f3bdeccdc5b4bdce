// Shows the words as the model reads them, and highlights the current one.

export class Words {
  #words = []; // {start, end, element}
  #lit = -1;

  /** onPick: called with the start of a clicked word, in seconds. */
  constructor(element, onPick) {
    this.element = element;
    element.addEventListener("click", (event) => {
      const word = this.#words.find((word) => word.element === event.target);
      if (word) onPick(word.start);
    });
  }

  clear() {
    this.#words = [];
    this.#lit = -1;
    this.element.replaceChildren();
  }

  /** words: the next [{word, start, end}], in seconds. */
  add(words) {
    for (const { word, start, end } of words) {
      const element = document.createElement("span");
      element.className = "word";
      element.textContent = word;
      this.element.append(element, " ");
      this.#words.push({ start, end, element });
    }
  }

  get empty() {
    return this.#words.length === 0;
  }

  /** Show the text without word times, for models that have none. */
  plain(text) {
    this.element.textContent = text;
  }

  /** position: the second that is audible now. */
  light(position) {
    const started = this.#words.findLastIndex((word) => word.start <= position);
    const lit = started >= 0 && position < this.#words[started].end ? started : -1;
    if (lit === this.#lit) return;
    this.#words[this.#lit]?.element.classList.remove("lit");
    this.#lit = lit;
    if (lit < 0) return;
    const { element } = this.#words[lit];
    element.classList.add("lit");
    const pane = this.element;
    const top = element.offsetTop - pane.offsetTop;
    if (top < pane.scrollTop || top + 2 * element.offsetHeight > pane.scrollTop + pane.clientHeight) {
      pane.scrollTop = top - element.offsetHeight; // scroll only the pane: the page must not move under the reader
    }
  }
}
