// How fast the chosen runs went, and on what.

import { colourOf } from "../colours.js";
import { h, tag } from "../elements.js";
import { formatCount, formatDuration, formatSize } from "../format.js";
import { byFrequency } from "../runs.js";
import { chartsView } from "./curves.js";

const speed = "images/s";

export function systemView(root, app) {
  const table = h("div", { class: "card facts" });
  const inner = h("div", {});
  root.append(inner, table);
  const charts = chartsView(inner, app, {
    derive: (_, run, name, fetched) => (name === speed && fetched ? speedOf(fetched.axes) : null),
    namesOf: (runs) => [speed, ...byFrequency(runs.flatMap((run) => run.curves.filter((name) => name.startsWith("system/"))))],
    picker: false,
  });

  function drawFacts() {
    const rows = [
      ["status", (run) => run.status],
      ["device", (run) => run.facts.device],
      ["processes", (run) => run.facts.devices],
      ["host", (run) => run.facts.host],
      ["time", (run) => formatDuration(run.seconds)],
      ["images", (run) => formatCount(run.images)],
      ["images/s", (run) => formatCount(run.images / run.seconds)],
      ["generator", (run) => formatSize(run.facts.parameters?.generator)],
      ["discriminator", (run) => formatSize(run.facts.parameters?.discriminator)],
      ["started", (run) => run.facts.started],
      ["ganlab", (run) => run.facts.ganlab],
      ["commit", (run) => (run.facts.git_sha ? `${String(run.facts.git_sha).slice(0, 9)}${run.facts.git_dirty ? " and changes" : ""}` : null)],
      ["torch", (run) => run.facts.torch],
      ["lightning", (run) => run.facts.lightning],
      ["python", (run) => run.facts.python],
      ["command", (run) => run.facts.command],
    ];
    const runs = app.chosenRuns();
    table.replaceChildren(
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, h("th", {}), runs.map((run) => h("th", { scope: "col" }, tag(run, colourOf(run.id)))))),
        h("tbody", {}, rows.map(([name, of]) => h("tr", {}, h("th", { scope: "row" }, name), runs.map((run) => h("td", {}, String(of(run) ?? "–")))))),
      ),
    );
  }

  return {
    update(changed) {
      drawFacts();
      return charts.update(changed);
    },
    destroy: () => charts.destroy(),
  };
}

/** Images per second between neighbouring points of a run's curves. */
function speedOf(axes) {
  const num = Math.max(axes.images.length - 1, 0);
  const mean = Float64Array.from({ length: num }, (_, index) => {
    const seconds = (axes.hours[index + 1] - axes.hours[index]) * 3600;
    return seconds > 0 ? (axes.images[index + 1] - axes.images[index]) / seconds : NaN;
  });
  return { at: (name) => axes[name].slice(1), mean, low: null, high: null };
}
