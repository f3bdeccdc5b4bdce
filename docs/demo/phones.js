// Phones beside letters, from the pronunciation dictionary: the counterpart of vivavoce/text/phones.py for English.

const [UNKNOWN, SILENT, FIRST_PHONE, SLOTS, UNSEEN, LONGEST] = [0, 1, 2, 2, 12, 60];
// Ending, endings of the base form, sound after a voiced and a voiceless phone, sound where a vowel must come between.
const INFLECTIONS = [
  ["'s", [""], "z", "s", ["ᵻ", "z"]], ["s'", ["", "s"], "z", "s", ["ᵻ", "z"]], ["ies", ["y"], "z", "s", ["ᵻ", "z"]],
  ["es", ["e", ""], "z", "s", ["ᵻ", "z"]], ["s", [""], "z", "s", ["ᵻ", "z"]], ["ied", ["y"], "d", "t", ["ᵻ", "d"]],
  ["ed", ["e", ""], "d", "t", ["ᵻ", "d"]],
];
const VOICELESS = "ptkfθsʃʧ";
const NEEDS_VOWEL = {z: "szʃʒʧʤ", d: "td"};

const splitPhones = (written) => written.match(/[ˈˌ]?[^\sˈˌ]/gu) ?? [];
const bare = (phone) => phone.replace(/^[ˈˌ]+/, "");
const isLetter = (c) => /\p{L}/u.test(c);

export class Phones {
  // packed: the dictionary as gzip, costs: the table that places phones in letters, inventory: the model's symbols.
  static async load(packed, costs, inventory) {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Phones(await new Response(stream).text(), costs, inventory);
  }

  constructor(lines, costs, inventory) {
    this.words = new Map(lines.split("\n").map((line) => line.split("\t", 2)));
    this.costs = new Map(Object.entries(costs).map(([letter, row]) => [letter, new Map(Object.entries(row))]));
    this.numbers = new Map(inventory.map((phone, i) => [phone, FIRST_PHONE + i]));
  }

  // The ids of a text's letters, two for each.
  ids(text) {
    const made = new BigInt64Array(SLOTS * text.length).fill(BigInt(UNKNOWN));
    for (const match of text.matchAll(/\p{L}+(?:'\p{L}+)*/gu)) {
      const word = match[0];
      const phones = word.length <= LONGEST ? this.find(word) : null;
      if (!phones || !phones.every((phone) => this.numbers.has(phone))) continue;
      const placed = this.place(word, phones);
      placed?.forEach((own, i) => {
        made[SLOTS * (match.index + i)] = BigInt(SILENT);
        own.forEach((phone, slot) => (made[SLOTS * (match.index + i) + slot] = BigInt(this.numbers.get(phone))));
      });
    }
    return made;
  }

  find(word) {
    if (this.words.has(word)) return splitPhones(this.words.get(word));
    for (const [ending, stems, voiced, voiceless, syllable] of INFLECTIONS) {
      if (!word.endsWith(ending) || word.endsWith("ss")) continue;
      for (const stem of stems) {
        const found = this.words.get(word.slice(0, word.length - ending.length) + stem);
        if (!found) continue;
        const base = splitPhones(found);
        const last = base.at(-1);
        return [...base, ...(NEEDS_VOWEL[voiced].includes(last) ? syllable : VOICELESS.includes(last) ? [voiceless] : [voiced])];
      }
    }
    return null;
  }

  // Assign all phones, in order, to the letters, at most two to each, at the lowest cost.
  place(word, phones) {
    const plain = phones.map(bare);
    const count = plain.length;
    let best = [0, ...Array(count).fill(Infinity)];
    const taken = [];
    for (const letter of word) {
      const row = this.costs.get(letter) ?? new Map();
      const after = Array(count + 1).fill(Infinity), choice = Array(count + 1).fill(0);
      best.forEach((cost, done) => {
        if (cost === Infinity) return;
        for (let size = 0; size <= (isLetter(letter) ? Math.min(SLOTS, count - done) : 0); size++) {
          const extra = isLetter(letter) ? row.get(plain.slice(done, done + size).join("")) ?? UNSEEN * Math.max(size, 0.5) : 0;
          if (cost + extra < after[done + size]) {
            after[done + size] = cost + extra;
            choice[done + size] = size;
          }
        }
      });
      best = after;
      taken.push(choice);
    }
    if (best[count] === Infinity) return null;
    const placed = [];
    let done = count;
    for (const choice of taken.reverse()) {
      placed.unshift(phones.slice(done - choice[done], done));
      done -= choice[done];
    }
    return placed;
  }
}
