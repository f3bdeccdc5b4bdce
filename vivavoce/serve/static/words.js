// Shows the words as the model reads them, and lights the one that is heard.

export class Words {
  #words = []; // {start, end, element}
  #lit = -1;

  /** onPick: called with the second at which a word begins that was clicked. */
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

  /** words: [{word, start, end}] that follow those before, in seconds. */
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

  /** Where the model cannot tell when it says each word, the text just stands there. */
  plain(text) {
    this.element.textContent = text;
  }

  /** position: the second that is heard. */
  light(position) {
    const begun = this.#words.findLastIndex((word) => word.start <= position);
    const lit = begun >= 0 && position < this.#words[begun].end ? begun : -1;
    if (lit === this.#lit) return;
    this.#words[this.#lit]?.element.classList.remove("lit");
    this.#lit = lit;
    if (lit < 0) return;
    const { element } = this.#words[lit];
    element.classList.add("lit");
    const pane = this.element;
    const top = element.offsetTop - pane.offsetTop;
    if (top < pane.scrollTop || top + 2 * element.offsetHeight > pane.scrollTop + pane.clientHeight) {
      pane.scrollTop = top - element.offsetHeight; // the pane alone: the page must not move under the reader
    }
  }
}
