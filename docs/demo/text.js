// Text → what the model reads: numbers, sums, times and abbreviations as words, in pieces that are short enough.
// The essentials of vivavoce/text for English; the Python package knows far more.

const ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen " +
  "seventeen eighteen nineteen";
const TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");
const LARGE = ["", " thousand", " million", " billion", " trillion"];
const ORDINALS = {one: "first", two: "second", three: "third", five: "fifth", eight: "eighth", nine: "ninth",
  twelve: "twelfth"};
const ones = ONES.split(" ");

export function cardinal(n) {
  if (n < 20) return ones[n];
  if (n < 100) return TENS[Math.floor(n / 10) - 2] + (n % 10 ? "-" + ones[n % 10] : "");
  if (n < 1000) return ones[Math.floor(n / 100)] + " hundred" + (n % 100 ? " " + cardinal(n % 100) : "");
  const parts = [];
  for (let i = 0; n > 0; i++, n = Math.floor(n / 1000)) if (n % 1000) parts.unshift(cardinal(n % 1000) + LARGE[i]);
  return parts.join(" ");
}

export function ordinal(n) {
  const words = cardinal(n);
  const cut = Math.max(words.lastIndexOf(" "), words.lastIndexOf("-")) + 1;
  const last = words.slice(cut);
  return words.slice(0, cut) + (ORDINALS[last] ?? (last.endsWith("y") ? last.slice(0, -1) + "ieth" : last + "th"));
}

function digits(text) {
  return [...text].map((d) => ones[+d]).join(" ");
}

function number(text) {
  const [whole, part] = text.replaceAll(",", "").split(".");
  const words = whole.length > 15 || /^0\d/.test(whole) ? digits(whole) : cardinal(+whole);
  return part === undefined ? words : `${words} point ${digits(part)}`;
}

function year(text) {
  const n = +text;
  if (n % 1000 < 10) return cardinal(n);
  const [high, low] = [Math.floor(n / 100), n % 100];
  return cardinal(high) + " " + (low === 0 ? "hundred" : low < 10 ? "oh " + ones[low] : cardinal(low));
}

const MONEY = {$: ["dollar", "dollars", "cent", "cents"], "£": ["pound", "pounds", "penny", "pence"],
  "€": ["euro", "euros", "cent", "cents"]};
const UNITS = {kg: "kilograms", g: "grams", km: "kilometres", cm: "centimetres", mm: "millimetres", m: "metres",
  ms: "milliseconds", s: "seconds", h: "hours", mb: "megabytes", gb: "gigabytes", kb: "kilobytes", hz: "hertz",
  khz: "kilohertz", mph: "miles per hour", lb: "pounds", ft: "feet", "km/h": "kilometres per hour", "°c": "degrees Celsius",
  "°f": "degrees Fahrenheit", "%": "percent"};
const SHORT = {mr: "mister", mrs: "missus", ms: "miz", dr: "doctor", prof: "professor", st: "saint", "e.g": "for example",
  "i.e": "that is", etc: "et cetera", vs: "versus", no: "number", approx: "approximately", jan: "January",
  feb: "February", mar: "March", apr: "April", aug: "August", sept: "September", sep: "September", oct: "October",
  nov: "November", dec: "December"};
const SIGNS = {"&": " and ", "@": " at ", "+": " plus ", "=": " equals ", "#": " number ", "°": " degrees ", "/": " slash ",
  "~": " about ", "%": " percent "};

function money(_, sign, amount) {
  const [one, many, cent, cents] = MONEY[sign];
  const [whole, part] = amount.replaceAll(",", "").split(".");
  const n = +whole;
  const words = `${number(whole)} ${n === 1 ? one : many}`;
  if (!part || !+part) return words;
  if (part.length !== 2) return `${number(amount)} ${many}`;
  const small = `${cardinal(+part)} ${+part === 1 ? cent : cents}`;
  return n ? `${words} and ${small}` : small;
}

function time(_, hour, minute, half) {
  const m = +minute;
  const words = cardinal(+hour) + (m === 0 ? (half ? "" : " o'clock") : m < 10 ? ` oh ${ones[m]}` : ` ${cardinal(m)}`);
  return half ? `${words} ${half.toLowerCase()[0]} m` : words;
}

// Write out what is not a word. The rules run in this order.
export function normalise(text) {
  const number_ = String.raw`\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?`;
  const units = Object.keys(UNITS).sort((a, b) => b.length - a.length).join("|");
  return text
    .normalize("NFKC")
    .replace(/[“”„«»"]/g, "").replace(/[‘’]/g, "'").replace(/\s*[—–]\s*/g, ", ").replace(/…/g, ".")
    .replace(/[()[\]{}]/g, ", ")
    .replace(/\b(mr|mrs|ms|dr|prof|st|e\.g|i\.e|etc|vs|approx|jan|feb|mar|apr|aug|sept?|oct|nov|dec)\.(?=\s|,|$)/gi,
      (_, word) => SHORT[word.toLowerCase()])
    .replace(/\bno\. (?=\d)/gi, "number ")
    .replace(/(?<!\w)[-−](?=\d)/g, "minus ")
    .replace(new RegExp(`([$£€])(${number_})`, "g"), money)
    .replace(/\b(\d{1,2}):(\d{2})(?:\s*([ap]\.?m)\b\.?)?/gi, time)
    .replace(new RegExp(`(?<![\\w.])(${number_})\\s?(${units})(?![\\w])`, "gi"),
      (_, n, unit) => `${number(n)} ${UNITS[unit.toLowerCase()]}`)
    .replace(/\b(\d+)(st|nd|rd|th)\b/gi, (_, n) => ordinal(+n))
    .replace(/\b(1[1-9]\d\d|20\d\d)\b(?![.,]\d)/g, year)
    .replace(new RegExp(number_, "g"), (n) => ` ${number(n)} `)
    .replace(/\b[B-HJ-Z][A-Z]{1,4}\b(?![a-z])/g, (word) => /[AEIOUY]/.test(word) && word.length > 3 ? word
      : [...word].join(" ")) // spelt letter by letter
    .replace(/[&@+=#°/~%]/g, (sign) => SIGNS[sign])
    .normalize("NFD").replace(/\p{M}/gu, "")
    .replace(/\s+/g, " ").replace(/\s+([,.;:!?])/g, "$1").replace(/,\s*,/g, ",").trim();
}

// What the model reads of a piece: its own characters only.
export function fit(text, characters) {
  const known = new Set(characters);
  return [...text.toLowerCase()].map((c) => (known.has(c) ? c : " ")).join("").replace(/ +/g, " ").trim();
}

// Cut a text into pieces: sentences, long ones at clauses. The first piece is short, so that sound begins soon.
export function split(text, longest = 120, first = 60) {
  const pieces = [];
  for (const paragraph of text.split(/\n\s*\n/).map(normalise)) { // first: full stops of abbreviations end nothing
    for (const sentence of paragraph.match(/[^.!?]+(?:[.!?]+(?=["')\]]*(?:\s|$))|[.!?](?=\S)[^.!?]*)*[.!?]*["')\]]*/g) ?? []) {
      let rest = sentence.trim();
      while (rest) {
        const limit = pieces.length ? longest : first;
        let cut = rest.length;
        if (rest.length > limit) {
          const head = rest.slice(0, limit + 1);
          cut = Math.max(...[", ", "; ", ": "].map((mark) => head.lastIndexOf(mark) + 1));
          if (cut < 15) cut = rest.length > longest ? Math.max(rest.slice(0, longest).lastIndexOf(" "), 1) : rest.length;
        }
        const words = rest.slice(0, cut).trim();
        if (/[\p{L}\p{N}]/u.test(words)) pieces.push({text: words, pause: cut < rest.length ? 0.05 : 0.25});
        rest = rest.slice(cut).trim();
      }
    }
    if (pieces.length) pieces.at(-1).pause = 0.6;
  }
  return pieces;
}
