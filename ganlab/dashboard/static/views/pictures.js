// Pictures of runs by g_step, and the slider through training that all views of them share.

import { h } from "../elements.js";
import { formatCount } from "../format.js";

const maxKept = 600;
const playMilliseconds = 350;
const kept = new Map();

/** All steps at which some run has a grid, in order. */
export function stepsOf(runs) {
  return [...new Set(runs.flatMap((run) => run.grids.map(([step]) => step)))].sort((a, b) => a - b);
}

/** The last grid `[step, version]` of a run that is not later than a step; undefined before its first one. */
export function gridAt(run, step) {
  return run.grids.findLast(([each]) => each <= step);
}

/** Resolves to a decoded picture; the last some hundred are kept. */
export function loadPicture(url) {
  if (!kept.has(url)) {
    const picture = new Image();
    picture.src = url;
    const loaded = picture.decode().then(() => picture);
    loaded.catch(() => kept.delete(url));
    kept.set(url, loaded);
    if (kept.size > maxKept) kept.delete(kept.keys().next().value);
  }
  return kept.get(url);
}

/** Loads what the slider will show next. */
export function preload(app, runs, steps, step) {
  const place = steps.indexOf(step);
  for (const next of [place + 1, place - 1, place + 2]) {
    for (const run of runs) {
      const found = steps[next] === undefined ? undefined : gridAt(run, steps[next]);
      if (found) loadPicture(app.source.grid(run, found)).catch(() => null);
    }
  }
}

/** A slider over steps with buttons and keys: arrows, Home, End, p for play. */
export function timeline(bar, { move }) {
  let steps = [];
  let place = 0;
  let playing = null;
  const slider = h("input", {
    type: "range", id: "step", min: 0, step: 1, "aria-label": "Generator step",
    oninput: () => go(Number(slider.value)),
  });
  const label = h("output", { for: "step" });
  const play = h("button", { type: "button", title: "Play through training. Key: p", "aria-pressed": "false", onclick: toggle }, "▶");
  const button = (text, title, by) => h("button", { type: "button", title, "aria-label": title, onclick: () => go(place + by) }, text);
  bar.append(
    h("div", { class: "timeline" }, play, button("‹", "Earlier. Key: ←", -1), slider, button("›", "Later. Key: →", 1), label),
  );

  function go(next) {
    if (next < 0 || next >= steps.length) return;
    move(next === steps.length - 1 ? "" : steps[next]); // at the end it follows what is still written
  }

  function toggle() {
    if (playing) {
      clearInterval(playing);
      playing = null;
    } else {
      if (place === steps.length - 1) go(0);
      playing = setInterval(() => (place < steps.length - 1 ? go(place + 1) : toggle()), playMilliseconds);
    }
    play.textContent = playing ? "❚❚" : "▶";
    play.setAttribute("aria-pressed", String(Boolean(playing)));
  }

  return {
    show(all, step) {
      steps = all;
      const wanted = step === "" ? Infinity : Number(step);
      place = Math.max(0, steps.findLastIndex((each) => each <= wanted));
      slider.max = Math.max(steps.length - 1, 0);
      slider.value = place;
      slider.disabled = steps.length < 2;
      slider.setAttribute("aria-valuetext", `g_step ${steps[place]}`);
      label.textContent = steps.length ? `g_step ${formatCount(steps[place])}` : "";
    },
    step: () => steps[place],
    key(event) {
      const inControl = event.target.closest?.("input, button, select");
      const by = { ArrowLeft: -1, ArrowRight: 1, Home: -place, End: steps.length - 1 - place }[event.key];
      if (event.key === "p") toggle();
      else if (by !== undefined && event.target !== slider && !(inControl && event.target.type === "range")) {
        event.preventDefault();
        go(place + by);
      }
    },
    destroy: () => clearInterval(playing),
  };
}
