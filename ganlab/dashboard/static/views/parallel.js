// Runs as lines across one axis for each hyper-parameter and one for the score; a range drawn on an axis picks some.

import { scaleColour } from "../colours.js";
import { h, svg } from "../elements.js";
import { formatNumber } from "../format.js";
import * as state from "../state.js";
import { scaleOf } from "./scales.js";

const size = { width: 900, height: 340, left: 70, top: 40, bottom: 44 };
const reach = 14; // around an axis, where a range can be begun
const step = 0.05; // of the axis, for the arrow keys

/** Draws the lines; ranges are kept in the address, and lines outside one of them are faint. */
export function parallel(app, points, keys, labels, metric, shareOf) {
  const { width, height, left, top, bottom } = size;
  const axes = [
    ...keys.map((key) => ({ key, label: labels.get(key), of: (point) => point.run.settings.get(key) ?? null })),
    { key: metric, label: metric, of: (point) => point.value },
  ];
  const gap = (width - left * 2) / Math.max(axes.length - 1, 1);
  const placed = axes.map((axis, index) => ({
    ...axis,
    x: left + index * gap,
    ...scaleOf(points.map(axis.of), height - bottom, top, axis.key),
  }));
  const ranges = readRanges(placed);
  const kept = (point) => placed.every((axis) => within(ranges.get(axis.key), shareAt(axis.place(axis.of(point)))));
  const sorted = [...points].sort((a, b) => shareOf(a) - shareOf(b));
  const threads = sorted.map((point) => thread(app, point, placed, metric, shareOf));
  const shown = sorted.filter(kept);
  const dim = () => sorted.forEach((point, index) => threads[index].classList.toggle("out", !kept(point)));
  dim();
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "plot-svg", role: "group", "aria-label": "Parallel coordinates" },
    threads,
    placed.map((axis) => drawAxis(axis, ranges, dim, Math.floor(gap / 6.5))),
  );
  return h("div", {}, picture, h("div", { class: "bar" }, controls(app, shown, ranges)));
}

function thread(app, point, placed, metric, shareOf) {
  const chosen = app.chosen.includes(point.run.id);
  const path = placed.map((axis, index) => `${index ? "L" : "M"}${axis.x.toFixed(1)} ${axis.place(axis.of(point)).toFixed(1)}`).join("");
  return svg(
    "path",
    { d: path, class: `thread ${chosen ? "chosen" : ""}`, colour: scaleColour(shareOf(point)), onclick: () => app.choose(point.run.id, !chosen) },
    svg("title", {}, `${point.run.title}\n${metric} ${formatNumber(point.value)}`),
  );
}

function controls(app, shown, ranges) {
  if (!ranges.size) return h("span", { class: "hint" }, "Draw a range on an axis to pick runs; arrow keys move one.");
  return [
    h("span", { class: "picked" }, `${shown.length} ${shown.length === 1 ? "run" : "runs"} within`),
    h("button", { type: "button", class: "quiet", disabled: !shown.length, onclick: () => app.setChosen(shown.map(({ run }) => run.id)) }, "Choose these"),
    h("button", { type: "button", class: "quiet", onclick: () => state.set({ ranges: "" }) }, "Clear ranges"),
  ];
}

function drawAxis(axis, ranges, dim, room) {
  const { height, top, bottom } = size;
  const brush = svg("rect", { class: "brush", x: axis.x - 6, width: 12 });
  const draw = () => {
    const range = ranges.get(axis.key);
    brush.setAttribute("y", range ? placeOf(range[1]) : 0);
    brush.setAttribute("height", range ? placeOf(range[0]) - placeOf(range[1]) : 0);
  };
  draw();
  const area = svg("rect", {
    class: "brushable", x: axis.x - reach, y: top - 6, width: 2 * reach, height: height - top - bottom + 12,
    tabindex: "0", role: "slider", "aria-orientation": "vertical", "aria-label": `Range of ${axis.label}`,
    "aria-valuetext": told(ranges.get(axis.key)), "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-valuenow": Math.round(100 * (ranges.get(axis.key)?.[1] ?? 1)),
    onpointerdown: (event) => {
      const [from, before] = [shareOfPointer(event), ranges.get(axis.key)];
      const end = (range) => {
        area.onpointermove = area.onpointerup = area.onpointercancel = null;
        range ? ranges.set(axis.key, range) : ranges.delete(axis.key);
        draw();
        dim();
        keep(ranges);
      };
      area.setPointerCapture(event.pointerId);
      area.onpointermove = (moved) => {
        const to = shareOfPointer(moved);
        ranges.set(axis.key, [Math.min(from, to), Math.max(from, to)]);
        draw();
        dim();
      };
      // A click takes the range away.
      area.onpointerup = (ended) => end(Math.abs(shareOfPointer(ended) - from) < 0.01 ? undefined : ranges.get(axis.key));
      area.onpointercancel = () => end(before); // the browser took the gesture for a scroll
    },
    onkeydown: (event) => {
      const [low, high] = ranges.get(axis.key) ?? [0, 1];
      const moves = { ArrowUp: [low, high + step], ArrowDown: [low, high - step], PageUp: [low + step, high], PageDown: [low - step, high] };
      if (event.key === "Escape") ranges.delete(axis.key);
      else if (moves[event.key]) ranges.set(axis.key, moves[event.key].map(clamped).sort((a, b) => a - b));
      else return;
      event.preventDefault();
      event.stopPropagation();
      keep(ranges);
      document.querySelector(`[aria-label="${CSS.escape(`Range of ${axis.label}`)}"]`)?.focus();
    },
  });
  return [
    svg("line", { class: "axis", x1: axis.x, x2: axis.x, y1: top, y2: height - bottom }),
    brush,
    area,
    svg("text", { x: axis.x, y: top - 20, class: "middle head" }, shortened(axis.label, Math.max(room, 6)), svg("title", {}, axis.label)),
    axis.ticks.map(([place, text]) => svg("text", { x: axis.x + 6, y: place + 4, class: "tick" }, text)),
  ];
}

/** Ranges by key, as shares of an axis from its bottom; those of axes that are not shown are left out. */
function readRanges(axes) {
  const found = new Map();
  for (const part of state.get("ranges").split("\n")) {
    const [key, low, high] = part.split("\t");
    const range = [Number(low), Number(high)];
    if (high !== undefined && range.every((each) => each >= 0 && each <= 1) && axes.some((axis) => axis.key === key)) found.set(key, range);
  }
  return found;
}

function keep(ranges) {
  state.set({ ranges: [...ranges].map(([key, range]) => [key, ...range.map((each) => each.toFixed(3))].join("\t")).join("\n") });
}

function within(range, share) {
  return !range || (share >= range[0] - 1e-6 && share <= range[1] + 1e-6);
}

function shareAt(place) {
  return (size.height - size.bottom - place) / (size.height - size.bottom - size.top);
}

function placeOf(share) {
  return size.height - size.bottom - share * (size.height - size.bottom - size.top);
}

function shareOfPointer(event) {
  const picture = event.currentTarget.ownerSVGElement;
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
  return clamped(shareAt(point.y));
}

function shortened(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function clamped(share) {
  return Math.min(Math.max(share, 0), 1);
}

function told(range) {
  return range ? `from ${Math.round(100 * range[0])} to ${Math.round(100 * range[1])} % of the axis` : "all";
}
