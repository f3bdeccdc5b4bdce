// How far a training is: its stages, curves and sounds.

import { byId, create, show } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, MARGIN] = [640, 200, 30];
const BEGUN = { new: "", running: "Training …", stopped: "Stopped; it can be resumed.", failed: "", done: "Finished." };

/** state: of the server. play: called with the key of a sound. */
export function showTraining(state, play) {
  byId("training").hidden = state.status === "new" && !state.stages.some((stage) => stage.done);
  byId("train-stop").hidden = state.status !== "running";
  const running = state.status === "running";
  byId("train").disabled = running;
  byId("train").textContent = { stopped: "Resume", failed: "Try again", done: "Train again" }[state.status] ?? "Start training";
  show("training-status", running ? now(state) : BEGUN[state.status]);
  byId("training-error").textContent = state.status === "failed" ? state.error : "";
  byId("training-progress").hidden = !running;
  byId("training-progress").value = state.done;
  byId("stages").replaceChildren(...state.stages.map((stage) => stageOf(stage, running && stage.name === state.stage)));
  drawCurves(state.curves);
  showSounds(state, play);
}

function now(state) {
  const training = state.stage === "model" || state.stage === "durations";
  const doing = training ? `${state.trained.toFixed(1)} of at most ${state.minutes} minutes of training` : state.doing;
  return `${doing || "Starting …"}${left(state.left)}`;
}

/** seconds: of the stage; null if unknown. */
function left(seconds) {
  if (seconds === null) return "";
  return seconds < 90 ? `, ${Math.ceil(seconds)} seconds left in this stage` : `, ${Math.round(seconds / 60)} minutes left in this stage`;
}

function stageOf(stage, current) {
  const item = create("li", stage.done ? "done" : "", stage.done && stage.line ? stage.line : stage.title);
  if (current) item.setAttribute("aria-current", "step");
  if (stage.notices.length) item.append(create("ul", "notices", ...stage.notices.map((line) => create("li", "", line))));
  return item;
}

/** Draw losses over minutes: name → [[minute, loss relative to the first]]. */
function drawCurves(curves) {
  const shown = Object.entries(curves).filter(([, points]) => points.length > 1);
  byId("curve-figure").hidden = !shown.length;
  if (!shown.length) return;
  const all = shown.flatMap(([, points]) => points);
  const most = (axis) => Math.max(...all.map((point) => point[axis]));
  const least = Math.min(...all.map((point) => point[1]));
  const [right, top] = [most(0) || 1, most(1)];
  const x = (minute) => MARGIN + ((WIDTH - 2 * MARGIN) * minute) / right;
  const y = (loss) => HEIGHT - MARGIN - ((HEIGHT - 2 * MARGIN) * (loss - least)) / (top - least || 1);
  const lines = shown.map(([name, points]) => {
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" "));
    if (name.endsWith("held out")) line.setAttribute("class", "held-out");
    return line;
  });
  const marks = [[MARGIN, HEIGHT - 8, "0"], [WIDTH - 90, HEIGHT - 8, `${right.toFixed(1)} minutes`], [4, 20, top.toFixed(2)], [4, HEIGHT - 30, least.toFixed(2)]];
  const texts = marks.map(([left, down, words]) => {
    const text = document.createElementNS(SVG, "text");
    text.setAttribute("x", left);
    text.setAttribute("y", down);
    text.textContent = words;
    return text;
  });
  byId("curve").replaceChildren(...lines, ...texts);
  show("curve-about", "Losses relative to the first. Green: recordings that were held out; training ends when they gain nothing.");
}

function showSounds(state, play) {
  const list = byId("sounds");
  byId("sounds-title").hidden = !state.sounds.length;
  const known = [...list.children].map((item) => item.dataset.key).join();
  const judged = Object.fromEntries(state.checkpoints.map((one) => [one.name, one]));
  const about = (sound) => {
    const one = judged[sound.key === "1-cloned" ? "base" : sound.key.replace(/^2-/, "")];
    if (!one) return "";
    const errors = one.wer === null ? "" : `, ${(100 * one.wer).toFixed(1)} % of the words misheard`;
    return `${(100 * one.way).toFixed(0)} % of the way to the speaker${errors}${one.name === state.chosen ? " (chosen)" : ""}`;
  };
  const figures = state.sounds.map(about);
  if (known === state.sounds.map((sound) => sound.key).join() && list.dataset.figures === figures.join()) return;
  list.dataset.figures = figures.join();
  list.replaceChildren(
    ...state.sounds.map((sound, index) => {
      const button = create("button", "quiet", "▶");
      Object.assign(button, { type: "button", ariaLabel: `Play ${sound.title}` });
      button.addEventListener("click", () => play(sound.key));
      const words = create("span", "words-of", create("strong", "", sound.title), ` ${sound.text}`);
      const item = create("li", "", button, words, create("span", "hint", figures[index]));
      item.dataset.key = sound.key;
      return item;
    }),
  );
}
