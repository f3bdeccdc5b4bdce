// A book that was dropped on the page, or chosen: its chapters are read one after the other, with progress.

import * as api from "./api.js";
import { byId, create, fail, show } from "./dom.js";
import * as store from "./store.js";

export class Reader {
  #book = null; // {title, chapters: [{title, parts}], at: index of the current chapter}
  #reading = false;

  /** read: called with the parts of a chapter; resolves to whether it was heard to the end. */
  constructor(read, stop) {
    this.read = read;
    byId("book-read").addEventListener("click", () => (this.#reading ? stop() : this.#start(this.#book.at)));
    byId("book-close").addEventListener("click", () => {
      stop();
      this.#show(null);
      store.keepBook(null);
      byId("text").focus();
    });
    const composer = byId("composer");
    for (const kind of ["dragover", "dragleave", "drop"]) {
      composer.addEventListener(kind, (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        composer.classList.toggle("over", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files[0]) this.open(event.dataTransfer.files[0]);
      });
    }
    byId("book-file").addEventListener("change", ({ target }) => {
      if (target.files[0]) this.open(target.files[0]);
      target.value = "";
    });
    store.book().then((book) => book && !this.#book && this.#show(book));
  }

  async open(file) {
    fail("text", "");
    show("text-count", `Reading ${file.name} …`);
    try {
      const book = await api.book(file);
      this.#recount();
      this.#show({ title: book.title, chapters: book.chapters, at: 0 });
      show("book-status", book.notices.join(" "));
      store.keepBook(this.#book);
      byId("book-read").focus();
    } catch (error) {
      this.#recount();
      fail("text", error.message);
    }
  }

  /** Show the length of the text again. */
  #recount() {
    show("text-count", "");
    byId("text").dispatchEvent(new Event("input"));
  }

  /** done: the share of the current chapter that was heard, 0 to 1. */
  progress(done) {
    if (!this.#reading) return;
    const sizes = this.#book.chapters.map(({ parts }) => parts.reduce((sum, part) => sum + part.length, 0));
    const before = sizes.slice(0, this.#book.at).reduce((a, b) => a + b, 0);
    byId("book-progress").value = (before + done * sizes[this.#book.at]) / sizes.reduce((a, b) => a + b, 0);
  }

  async #start(at) {
    if (this.#reading) return;
    this.#reading = true;
    const book = this.#book;
    let heard = true;
    for (let next = at; heard && next < book.chapters.length && this.#book === book; next++) {
      book.at = next;
      this.#show(book);
      store.keepBook(book);
      show("book-status", `Chapter ${next + 1} of ${book.chapters.length}`);
      heard = await this.read(book.chapters[next].parts);
    }
    this.#reading = false;
    if (this.#book !== book) return;
    if (heard) {
      book.at = 0;
      store.keepBook(book);
      byId("book-progress").value = 1;
      show("book-status", "The end.");
    }
    this.#show(book);
  }

  #show(book) {
    this.#book = book;
    byId("book").hidden = !book;
    if (!book) return;
    show("book-title", book.title);
    byId("book-read").textContent = this.#reading ? "Stop reading" : book.at ? "Continue" : "Read aloud";
    const list = book.chapters.map((chapter, index) => {
      const button = create("button", "quiet", chapter.title || `Part ${index + 1}`);
      button.type = "button";
      if (index === book.at) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => this.#jump(index));
      return create("li", "", button);
    });
    byId("chapters").replaceChildren(...list);
    byId("chapters").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  async #jump(index) {
    if (this.#reading) byId("book-read").click(); // stops
    await new Promise((resolve) => setTimeout(resolve));
    this.#start(index);
  }
}
