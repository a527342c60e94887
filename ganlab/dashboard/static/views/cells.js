// One sample of the grids: the same latent at every step, for every run.

import { colourOf } from "../colours.js";
import { h, tag } from "../elements.js";
import { formatCount } from "../format.js";
import { loadPicture } from "./pictures.js";

const gap = 2; // pixels between samples of a grid, as ganlab.modalities.images.make_grid lays them
const side = 72;

/**
 * Finds the samples in a grid: as many as the run draws, in the smallest square.
 *
 * Returns `{ num, columns, rows, width, height }`, or null where the picture is no such grid (points of the plane).
 */
export function layOut(run, picture) {
  const num = Number(run.settings.get("samples.num"));
  if (!num || !picture.naturalWidth) return null;
  const columns = Math.ceil(Math.sqrt(num));
  const rows = Math.ceil(num / columns);
  const width = (picture.naturalWidth + gap) / columns - gap;
  const height = (picture.naturalHeight + gap) / rows - gap;
  const fits = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  return fits && !isPlane(run) ? { num, columns, rows, width, height } : null;
}

function isPlane(run) {
  const size = run.settings.get("data.image_size");
  return size === 1 || JSON.stringify(size) === "[2,1]";
}

/** Shows one sample through time: a row of small pictures for each run. */
export function cellStrip(root, app, runs, cell, step, { close, move, go }) {
  const button = (text, title, act) => h("button", { type: "button", title, "aria-label": title, onclick: act }, text);
  const rows = runs.map((run) => {
    const marks = run.grids.map((grid) => moment(app, run, grid, cell, grid[0] === lastUpTo(run, step), () => go(grid[0])));
    return h("div", { class: "moments" }, h("div", { class: "who" }, tag(run, colourOf(run.id), app.label(run))), h("div", { class: "film" }, marks));
  });
  const scrolled = [...root.querySelectorAll(".film")].map((film) => film.scrollLeft);
  root.replaceChildren(
    h(
      "section",
      { class: "card strip", "aria-label": `Sample ${cell + 1} through time` },
      h("header", {}, h("h3", {}, `Sample ${cell + 1} through time`), h("span", { class: "buttons" },
        button("‹", "Previous sample", () => cell > 0 && move(cell - 1)),
        button("›", "Next sample", () => move(cell + 1)),
        button("✕", "Close. Key: Esc", close))),
      rows,
    ),
  );
  root.querySelectorAll(".film").forEach((film, index) => (film.scrollLeft = scrolled[index] ?? 0));
}

function lastUpTo(run, step) {
  return run.grids.findLast(([each]) => each <= step)?.[0];
}

function moment(app, run, grid, cell, current, go) {
  const canvas = h("canvas", { width: side, height: side });
  loadPicture(app.source.grid(run, grid))
    .then((picture) => {
      const layout = layOut(run, picture);
      if (!layout || cell >= layout.num) return;
      const { columns, width, height } = layout;
      const left = (cell % columns) * (width + gap);
      const top = Math.floor(cell / columns) * (height + gap);
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = width > side;
      context.drawImage(picture, left, top, width, height, 0, 0, side, side);
    })
    .catch(() => canvas.classList.add("missing"));
  return h(
    "button",
    { type: "button", class: "moment", "aria-current": current ? "true" : null, title: `g_step ${grid[0]}`, onclick: go },
    canvas,
    h("small", {}, formatCount(grid[0])),
  );
}
