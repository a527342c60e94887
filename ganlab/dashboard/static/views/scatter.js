// Hyper-parameters against a score: one as a scatter plot, all as parallel coordinates.

import { colourOf } from "../colours.js";
import { choice, empty, h, svg, switcher } from "../elements.js";
import { formatKey, formatNumber, formatSetting, shortKeys } from "../format.js";
import * as state from "../state.js";
import { parallel } from "./parallel.js";
import { scaleOf } from "./scales.js";

const maxAxes = 10;
const size = { width: 900, height: 340, left: 66, right: 24, top: 26, bottom: 44 };

export function scatterView(root, app) {
  const bar = h("div", { class: "bar" });
  const notes = h("div", { class: "notes" });
  const body = h("div", { class: "scatter" });
  root.append(bar, notes, body);

  function update() {
    const runs = app.filtered.filter((run) => run.readable);
    const metrics = app.runs.metrics(runs);
    const metric = metrics.includes(state.get("score")) ? state.get("score") : metrics[0];
    const pick = state.get("scores");
    const keys = app.runs.differingKeys(runs);
    if (!metric || !keys.length) {
      bar.replaceChildren();
      notes.replaceChildren();
      body.replaceChildren(empty("Runs with scores that differ in at least one key are needed."));
      return;
    }
    const along = keys.includes(state.get("along")) ? state.get("along") : keys[0];
    const labels = shortKeys(keys);
    const points = runs
      .map((run) => ({ run, score: app.runs.score(run, metric, pick) }))
      .filter(({ score }) => Number.isFinite(score?.value))
      .map(({ run, score }) => ({ run, value: score.value, protocol: score.protocol }));
    const rows = points.map((point) => ({ cells: new Map([[metric, { protocols: [point.protocol] }]]) }));
    const conflict = app.runs.conflict(rows, metric);
    bar.replaceChildren(
      choice("Score", metrics, metric, (score) => state.set({ score })),
      switcher("Scores", [["last", "last"], ["best", "best"]], pick, (scores) => state.set({ scores })),
      choice("Against", keys.map((key) => [key, formatKey(key)]), along, (key) => state.set({ along: key })),
    );
    notes.replaceChildren(conflict ? h("p", { class: "conflict" }, h("b", {}, metric), ` is not ranked: protocols differ in ${conflict}`) : "");
    const way = app.runs.better(metric);
    const ranked = !conflict && way !== null;
    const shareOf = shares(points, way, ranked);
    body.replaceChildren(
      h("section", { class: "card" }, h("h3", {}, `${metric} against ${formatKey(along)}`), scatterPlot(app, points, along, metric)),
      h("section", { class: "card" }, h("h3", {}, ranked ? "All keys that differ; bright lines score best" : "All keys that differ"),
        parallel(app, points, keys.slice(0, maxAxes), labels, metric, shareOf)),
    );
  }

  return { update };
}

/** How good a point is among all, from 0 to 1, by rank; a middle value where nothing may be ranked. */
function shares(points, way, ranked) {
  const sorted = points.map((point) => point.value).sort((a, b) => (way === "lower" ? b - a : a - b));
  return ({ value }) => (!ranked || sorted.length < 2 ? 0.35 : sorted.indexOf(value) / (sorted.length - 1));
}

function scatterPlot(app, points, along, metric) {
  const { width, height, left, right, top, bottom } = size;
  const x = scaleOf(points.map(({ run }) => run.settings.get(along) ?? null), left + 20, width - right - 20, along);
  const y = scaleOf(points.map(({ value }) => value), height - bottom - 8, top);
  const dots = points.map((point, index) => {
    const chosen = app.chosen.includes(point.run.id);
    const spread = typeof point.run.settings.get(along) === "number" ? 0 : ((index * 37) % 21) - 10; // names: side by side
    return dot(app, point, chosen, x.place(point.run.settings.get(along) ?? null) + spread, y.place(point.value), `${point.run.title}\n${formatKey(along)} ${formatSetting(along, point.run.settings.get(along))}\n${metric} ${formatNumber(point.value)}`);
  });
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "plot-svg", role: "group", "aria-label": `${metric} against ${along}` },
    y.ticks.map(([place, text]) => [
      svg("line", { class: "rule", x1: left, x2: width - right, y1: place, y2: place }),
      svg("text", { x: left - 8, y: place + 4, class: "end" }, text),
    ]),
    x.ticks.map(([place, text]) => svg("text", { x: place, y: height - bottom + 22, class: "middle" }, text)),
    dots.sort((a, b) => a.chosen - b.chosen).map(({ element }) => element),
  );
}

function dot(app, { run }, chosen, x, y, title) {
  const act = () => app.choose(run.id, !chosen);
  const element = svg(
    "circle",
    {
      cx: x, cy: y, r: chosen ? 6 : 4.5, class: `point ${chosen ? "chosen" : ""}`, colour: colourOf(run.id),
      tabindex: "0", role: "checkbox", "aria-checked": String(chosen), "aria-label": title,
      onclick: act,
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        act();
      },
    },
    svg("title", {}, title),
  );
  return { element, chosen };
}
