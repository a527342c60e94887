// Sample grids of the chosen runs side by side, all at one moment of training.

import { colourOf } from "../colours.js";
import { empty, h, tag } from "../elements.js";
import { formatCount } from "../format.js";
import * as state from "../state.js";
import { cellStrip, layOut } from "./cells.js";
import { gridAt, loadPicture, preload, stepsOf, timeline } from "./pictures.js";
import { players } from "./players.js";

const maxRuns = 24;

export function samplesView(root, app) {
  const bar = h("div", { class: "bar" });
  const strip = h("div", {});
  const grid = h("div", { class: "pictures" });
  root.append(bar, strip, grid);
  const time = timeline(bar, { move: (step) => state.set({ step }) });
  let shown = "";
  let cards = new Map();

  function update() {
    const runs = app.chosenRuns().filter((run) => run.grids.length).slice(0, maxRuns);
    const steps = stepsOf(runs);
    time.show(steps, state.get("step"));
    if (!runs.length) {
      stop();
      shown = "";
      cards = new Map();
      strip.replaceChildren();
      grid.replaceChildren(empty("None of the chosen runs has drawn samples.", "Choose runs at the left."));
      return;
    }
    const names = runs.map((run) => `${run.id} ${colourOf(run.id)}`).join();
    if (names !== shown) {
      stop();
      shown = names;
      cards = new Map(runs.map((run) => [run.id, makeCard(run)]));
      grid.replaceChildren(...[...cards.values()].map((card) => card.root));
    }
    for (const run of runs) cards.get(run.id).show(run, time.step());
    preload(app, runs, steps, time.step());
    drawStrip(runs);
  }

  function makeCard(run) {
    const picture = h("img", { alt: "", class: "grid" });
    const marker = h("div", { class: "marker", hidden: true });
    const caption = h("small", { class: "caption" });
    const frame = h("button", { type: "button", class: "frame", title: "Click one sample to see it through time", onclick: pick }, picture, marker);
    const played = players(app);
    const card = h("figure", { class: "card picture" }, h("figcaption", {}, tag(run, colourOf(run.id)), caption), frame, played.root);
    let current = run;

    function pick(event) {
      const layout = layOut(current, picture);
      if (!layout) return;
      const box = picture.getBoundingClientRect();
      const atKeyboard = event.detail === 0;
      const column = atKeyboard ? 0 : Math.floor(((event.clientX - box.left) / box.width) * layout.columns);
      const row = atKeyboard ? 0 : Math.floor(((event.clientY - box.top) / box.height) * layout.rows);
      const cell = row * layout.columns + column;
      if (cell < layout.num) state.set({ cell: String(cell) === state.get("cell") ? "" : cell });
    }

    async function show(now, step) {
      current = now;
      const found = gridAt(now, step);
      const same = found && found[0] === step;
      const when = found ? `g_step ${formatCount(found[0])}${same ? "" : " (nearest before)"}` : "not begun";
      caption.textContent = [app.detail(now), when].filter(Boolean).join(" · ");
      frame.hidden = !found;
      played.show(now, found);
      if (!found) return;
      const url = app.source.grid(now, found);
      picture.alt = `Samples of ${now.name} at g_step ${found[0]}`;
      try {
        await loadPicture(url);
      } catch {
        caption.textContent = `g_step ${formatCount(found[0])}: this picture cannot be shown`;
        return;
      }
      if (gridAt(current, time.step())?.[0] !== found[0]) return; // the slider has moved on
      if (picture.getAttribute("src") !== url) picture.src = url;
      await picture.decode().catch(() => null);
      mark();
    }

    function mark() {
      const layout = layOut(current, picture);
      const cell = Number(state.get("cell"));
      marker.hidden = state.get("cell") === "" || !layout || cell >= layout.num;
      if (marker.hidden) return;
      marker.style.left = `${((cell % layout.columns) / layout.columns) * 100}%`;
      marker.style.top = `${(Math.floor(cell / layout.columns) / layout.rows) * 100}%`;
      marker.style.width = `${100 / layout.columns}%`;
      marker.style.height = `${100 / layout.rows}%`;
    }

    return { root: card, show, stop: played.stop };
  }

  function drawStrip(runs) {
    if (state.get("cell") === "") {
      strip.replaceChildren();
      return;
    }
    cellStrip(strip, app, runs, Number(state.get("cell")), time.step(), {
      close: () => state.set({ cell: "" }),
      move: (cell) => state.set({ cell }),
      go: (step) => state.set({ step }),
    });
  }

  function key(event) {
    if (event.key === "Escape") state.set({ cell: "" });
    else time.key(event);
  }

  function stop() {
    for (const card of cards.values()) card.stop();
  }

  function destroy() {
    stop();
    time.destroy();
  }

  return { update, key, destroy };
}
