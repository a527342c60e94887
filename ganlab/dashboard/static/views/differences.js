// The configurations of the chosen runs beside each other.

import { colourOf } from "../colours.js";
import { empty, h, switcher, tag } from "../elements.js";
import { formatSetting } from "../format.js";
import * as state from "../state.js";

const maxRuns = 8;

export function differencesView(root, app) {
  const bar = h("div", { class: "bar" });
  const body = h("div", {});
  root.append(bar, body);

  function update() {
    const runs = app.chosenRuns().slice(0, maxRuns);
    const all = state.get("keys") === "all" || runs.length === 1;
    const differing = new Set(app.runs.differingKeys(runs, false));
    bar.replaceChildren(
      switcher("Keys", [["differing", "What differs"], ["all", "Everything"]], all ? "all" : "differing", (keys) => state.set({ keys })),
      h("span", { class: "hint" }, runs.length === 1 ? "one run is chosen" : `${differing.size} keys differ between ${runs.length} runs`),
      app.chosen.length > maxRuns ? h("span", { class: "hint" }, `the first ${maxRuns} of ${app.chosen.length} chosen`) : "",
    );
    if (!runs.length) {
      body.replaceChildren(empty("Choose one run at the left to see its configuration, or two to see what differs."));
      return;
    }
    const keys = [...new Set(runs.flatMap((run) => [...run.settings.keys()]))].filter((key) => all || differing.has(key)).sort();
    const parts = [
      ["Decides the mathematics", keys.filter((key) => app.runs.decidesMathematics(key))],
      ["Does not: budget, cadence, names, devices", keys.filter((key) => !app.runs.decidesMathematics(key))],
    ];
    body.replaceChildren(
      h(
        "div",
        { class: "card settings" },
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "key"), runs.map((run) => h("th", { scope: "col" }, tag(run, colourOf(run.id)))))),
          parts.filter(([, inside]) => inside.length).map(([title, inside]) =>
            h("tbody", {},
              h("tr", { class: "part" }, h("th", { colspan: runs.length + 1, scope: "rowgroup" }, title)),
              inside.map((key) => row(key, runs, differing.has(key)))),
          ),
        ),
        keys.length ? null : empty("The configurations are the same."),
      ),
    );
  }

  return { update };
}

function row(key, runs, differs) {
  const value = (run) => (key.endsWith("_target_") ? String(run.settings.get(key) ?? "–") : formatSetting(key, run.settings.get(key)));
  return h("tr", { class: differs ? "differs" : "" }, h("th", { scope: "row" }, key), runs.map((run) => h("td", {}, value(run))));
}
