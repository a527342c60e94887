// Metrics of the chosen runs through training.

import { colourOf, dashOf } from "../colours.js";
import { drawChart } from "../chart.js";
import { empty, h, switcher, tag } from "../elements.js";
import { byFrequency, groupBy } from "../runs.js";
import { meanOf, smooth } from "../smoothing.js";
import * as state from "../state.js";

const numChartsAtFirst = 6;
const numChartsInSight = 2;
const maxRuns = 60;
const askAgainMilliseconds = 400;
export const units = { g_step: "g_step", images: "images", hours: "hours" };

/** Charts of metrics; `pickNames` says which are shown unless the address does. */
export function curvesView(root, app) {
  return chartsView(root, app, {
    derive: scoreCurves,
    namesOf: (runs, fetched) => [
      ...app.runs.metrics(runs),
      ...byFrequency(runs.flatMap((run) => fetched.get(run.id)?.names ?? run.curves)),
    ],
    picker: true,
  });
}

/** Scores as curves: few points, from results.jsonl. */
function scoreCurves(app, run, metric, fetched) {
  const found = run.scores.get(metric);
  if (!found) return null;
  const latest = [...new Map(found.map((each) => [each[0], each])).values()].filter((each) => each[1] !== null);
  latest.sort((a, b) => a[0] - b[0]);
  const axes = fetched?.axes;
  const at = (step, name) => {
    if (name === "g_step" || !axes?.g_step.length) return step;
    const place = axes.g_step.findIndex((each) => each >= step);
    return axes[name][place === -1 ? axes.g_step.length - 1 : place];
  };
  const y = Float64Array.from(latest, (each) => each[1]);
  return { at: (name) => Float64Array.from(latest, (each) => (each[0] === 0 ? 0 : at(each[0], name))), mean: y, low: null, high: null, sparse: true };
}

/** Charts in a grid with their controls; the curves and the system figures share it. */
export function chartsView(root, app, { derive, namesOf, picker }) {
  const bar = h("div", { class: "bar" });
  const notes = h("div", { class: "notes", role: "status" });
  const legend = h("div", { class: "legend" });
  const grid = h("div", { class: "charts" });
  root.append(bar, notes, legend, grid);
  let charts = [];
  let fetched = new Map();
  let asked = 0;
  let timer = null;
  let frame = 0;
  let gone = false;

  async function update(changed) {
    const runs = app.chosenRuns().slice(0, maxRuns);
    drawBar(runs);
    legend.replaceChildren(...legendOf(runs));
    if (!runs.length) {
      clear();
      grid.replaceChildren(empty("Choose runs at the left to see their curves."));
      return;
    }
    const needs = ["runs", "view", "metrics", "runs loaded"].some((name) => changed.has(name)) || !fetched.size;
    if (needs) await refetch(runs);
    else draw(runs);
  }

  async function refetch(runs) {
    clearTimeout(timer);
    const ticket = (asked += 1);
    try {
      const found = await app.source.curves(runs.map((run) => run.id), shownNames(runs));
      if (gone || ticket !== asked) return;
      fetched = found;
    } catch (error) {
      notes.replaceChildren(h("p", {}, `No curves: ${error.message}`));
      return;
    }
    const left = [...fetched.values()].reduce((sum, each) => sum + each.left, 0);
    const faults = [...fetched.values()].filter((each) => each.fault);
    notes.replaceChildren(
      left ? h("p", { class: "hint" }, `Reading ${(left / 1e6).toFixed(0)} MB more …`) : "",
      ...faults.map((each) => h("p", { class: "conflict" }, `${app.runs.get(each.id)?.name}: ${each.fault}`)),
      app.chosen.length > maxRuns ? h("p", { class: "hint" }, `The first ${maxRuns} of ${app.chosen.length} chosen runs.`) : "",
    );
    if (left) timer = setTimeout(() => refetch(app.chosenRuns().slice(0, maxRuns)), askAgainMilliseconds);
    drawBar(runs);
    draw(runs);
  }

  function allNames(runs) {
    return [...new Set(namesOf(runs, fetched))];
  }

  function shownNames(runs) {
    const names = allNames(runs);
    if (!picker) return names;
    const given = state.get("metrics");
    if (!given) return names.filter((name) => !/^train\/(d_)?lr$/.test(name)).slice(0, numChartsAtFirst);
    return given === "-" ? [] : given.split("\n").filter((name) => names.includes(name));
  }

  function draw(runs) {
    clear();
    const axis = Object.hasOwn(units, state.get("x")) ? state.get("x") : "g_step";
    const weight = Math.min(Math.max(Number(state.get("smooth")) || 0, 0), 0.99);
    const log = state.get("log") === "y";
    const cards = [];
    for (const name of shownNames(runs)) {
      const curves = curvesOf(runs, name, axis, weight, log);
      if (!curves.length) continue;
      const card = h("section", { class: "card chart", "aria-label": name }, h("h3", {}, name));
      cards.push([card, { title: name, unit: units[axis], curves, log }]);
    }
    grid.replaceChildren(...cards.map(([card]) => card));
    if (!cards.length) grid.replaceChildren(empty("The chosen runs have not logged anything that is shown here."));
    drawInTurn(cards);
  }

  /** Draws the first charts at once and the others one a frame, so that the page answers meanwhile. */
  function drawInTurn(cards, num = numChartsInSight) {
    charts.push(...cards.slice(0, num).map(([card, options]) => drawChart(card, options)));
    const rest = cards.slice(num);
    if (rest.length) frame = requestAnimationFrame(() => drawInTurn(rest, 1));
  }

  function curvesOf(runs, name, axis, weight, log) {
    const found = runs
      .map((run) => {
        const own = derive(app, run, name, fetched.get(run.id));
        const read = own ?? fetched.get(run.id)?.metrics.get(name);
        if (!read) return null;
        const x = own ? own.at(axis) : fetched.get(run.id).axes[axis];
        return { run, x, y: read.mean, low: read.low, high: read.high, sparse: read.sparse };
      })
      .filter((curve) => curve && curve.x.length);
    return state.get("seeds") === "together" ? together(found, weight) : found.map((curve) => alone(curve, weight));
  }

  function alone({ run, x, y, low, high, sparse }, weight) {
    const smoothed = sparse ? y : smooth(y, weight);
    const look = { label: app.label(run), colour: colourOf(run.id), dash: dashOf(run.id) };
    return { ...look, x, y: smoothed, raw: weight && !low && !sparse ? y : null, low, high };
  }

  function together(found, weight) {
    return [...groupBy(found, (curve) => curve.run.experiment).values()].map((members) => {
      if (members.length === 1) return alone(members[0], weight);
      const [first] = members;
      const smoothed = members.map(({ x, y, sparse }) => ({ x, y: sparse ? y : smooth(y, weight) }));
      const label = `${app.detail(first.run) || first.run.name.replace(/-s\d+$/, "")} (${members.length} seeds)`;
      return { label, colour: colourOf(first.run.id), dash: dashOf(first.run.id), ...meanOf(smoothed) };
    });
  }

  function drawBar(runs) {
    const slider = h("input", {
      type: "range", min: 0, max: 0.99, step: 0.01, "aria-label": "Smoothing",
      value: state.get("smooth"), id: "smoothing",
      oninput: () => state.set({ smooth: slider.value }),
    });
    if (document.activeElement?.id === "smoothing" && bar.contains(document.activeElement)) {
      bar.querySelector("output").textContent = Number(state.get("smooth")).toFixed(2);
      return; // the slider that is being moved must stay
    }
    bar.replaceChildren(
      switcher("Axis", Object.entries(units), state.get("x"), (x) => state.set({ x })),
      h("label", { class: "field" }, h("span", {}, "Smoothing"), slider, h("output", {}, Number(state.get("smooth")).toFixed(2))),
      switcher("Scale", [["", "linear"], ["y", "log"]], state.get("log"), (log) => state.set({ log })),
      switcher("Seeds", [["together", "mean ± sd of seeds"], ["each", "each run"]], state.get("seeds"), (seeds) => state.set({ seeds })),
      picker ? metricPicker(runs) : "",
    );
  }

  function metricPicker(runs) {
    const names = allNames(runs);
    const shown = new Set(shownNames(runs));
    const box = (name) =>
      h("label", {}, h("input", {
        type: "checkbox",
        checked: shown.has(name),
        onchange: () => {
          if (!shown.delete(name)) shown.add(name);
          state.set({ metrics: names.filter((each) => shown.has(each)).join("\n") || "-" });
        },
      }), name);
    const was = bar.querySelector("details")?.open;
    return h("details", { class: "picker", open: was }, h("summary", {}, `Metrics (${shown.size} of ${names.length})`), h("div", {}, names.map(box)));
  }

  function legendOf(runs) {
    if (state.get("seeds") !== "together") return runs.map((run) => tag(run, colourOf(run.id), run.title, app.detail(run)));
    return [...groupBy(runs, (run) => run.experiment).values()].map(([run, ...others]) =>
      tag(run, colourOf(run.id), others.length ? `${run.name.replace(/-s\d+$/, "")} (${others.length + 1} seeds)` : run.title, app.detail(run)),
    );
  }

  function clear() {
    cancelAnimationFrame(frame);
    for (const chart of charts) chart.destroy();
    charts = [];
  }

  return {
    update,
    destroy() {
      gone = true;
      clearTimeout(timer);
      clear();
    },
  };
}
