// The page: runs at the left, views at the right, both told of what has changed.

import { assignColours } from "./colours.js";
import { empty, h } from "./elements.js";
import { formatDifferences } from "./format.js";
import { groupBy, Runs } from "./runs.js";
import { buildSidebar } from "./sidebar.js";
import { EmbeddedSource, LiveSource } from "./source.js";
import * as state from "./state.js";
import { curvesView } from "./views/curves.js";
import { differencesView } from "./views/differences.js";
import { healthView } from "./views/health.js";
import { pairView } from "./views/pair.js";
import { samplesView } from "./views/samples.js";
import { scatterView } from "./views/scatter.js";
import { systemView } from "./views/system.js";
import { tableView } from "./views/table.js";

const views = {
  table: { title: "Table", make: tableView },
  curves: { title: "Curves", make: curvesView },
  samples: { title: "Samples", make: samplesView },
  pair: { title: "Pair", make: pairView },
  differences: { title: "Differences", make: differencesView },
  scatter: { title: "Parameters", make: scatterView },
  health: { title: "Health", make: healthView },
  system: { title: "System", make: systemView },
};
const inSidebar = ["filter", "runs", "group", "scores", "runs loaded", "theme"];
const pollMilliseconds = 2000;
const numChosenAtFirst = 9;

const embedded = document.getElementById("content");
const app = {
  source: embedded ? new EmbeddedSource(JSON.parse(embedded.textContent)) : new LiveSource(),
  runs: new Runs(),
  filtered: [],
  /** Ids of the chosen runs, in the order in which they were chosen. */
  chosen: [],

  chosenRuns() {
    return app.chosen.map((id) => app.runs.get(id));
  },

  /** What distinguishes a run from the other chosen ones, in a few words. */
  detail(run) {
    return formatDifferences(run, app.differing).join(" · ");
  },
  differing: [],

  /** What a run is called where there is little room. */
  label(run) {
    return app.detail(run) ? `${app.detail(run)} · seed ${run.seed}` : run.title;
  },

  choose(id, on) {
    app.setChosen(on ? [...app.chosen, id] : app.chosen.filter((each) => each !== id));
  },

  chooseAll(runs, on) {
    const ids = new Set(runs.map((run) => run.id));
    const others = app.chosen.filter((id) => !ids.has(id));
    app.setChosen(on ? [...others, ...ids] : others);
  },

  chooseBest(metric, num) {
    const sign = app.runs.better(metric) === "higher" ? -1 : 1;
    const scored = app.filtered
      .map((run) => ({ run, score: app.runs.score(run, metric, state.get("scores")) }))
      .filter(({ score }) => Number.isFinite(score?.value));
    scored.sort((a, b) => sign * (a.score.value - b.score.value));
    app.setChosen(scored.slice(0, num).map(({ run }) => run.id));
  },

  setChosen(ids) {
    state.set({ runs: ids.join(",") || "-" });
  },

  liveText() {
    if (!app.source.isLive) return "report";
    return app.fault ? `no answer: ${app.fault}` : "live";
  },
  fault: "",
};

let view = null;
let shown = "";
let sidebar = null;
const main = h("main", { id: "view", tabindex: "-1" });
const tabs = h("nav", { class: "tabs", "aria-label": "Views" });

function build() {
  const aside = h("aside", { "aria-label": "Runs" });
  document.body.append(aside, h("section", { class: "stage" }, tabs, main));
  sidebar = buildSidebar(aside, app);
  state.listen(update);
  addEventListener("keydown", onKey);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => update(new Set(["theme"])));
}

function drawTabs() {
  tabs.replaceChildren(
    ...Object.entries(views).map(([name, { title }], index) =>
      h(
        "button",
        {
          type: "button",
          "aria-current": name === shown ? "page" : null,
          title: `Key: ${index + 1}`,
          onclick: () => state.set({ view: name }),
        },
        title,
      ),
    ),
  );
}

/** Shows what has changed: names of state values, "runs loaded" or "theme". */
function update(changed) {
  if (changed.has("filter") || changed.has("runs loaded")) app.filtered = app.runs.filtered(state.get("filter"));
  app.chosen = chosenIds();
  app.differing = app.runs.tellingKeys(app.chosenRuns(), 4);
  assignColours(app.chosen);
  if (inSidebar.some((each) => changed.has(each))) sidebar.update();
  const name = Object.hasOwn(views, state.get("view")) ? state.get("view") : "table";
  if (name !== shown) {
    view?.destroy?.();
    shown = name;
    main.className = `view-${name}`;
    main.replaceChildren();
    main.scrollTop = 0;
    view = views[name].make(main, app);
    drawTabs();
    document.title = `${views[name].title} · ganlab`;
  }
  if (app.runs.all.length) view.update(changed);
  else main.replaceChildren(empty("No runs yet.", "They appear here as soon as training writes them."));
}

function chosenIds() {
  const given = state.get("runs");
  if (given === "-") return [];
  const known = given.split(",").filter((id) => app.runs.get(id));
  if (given) return [...new Set(known)];
  const newest = app.runs.all.filter((run) => run.readable).sort((a, b) => b.written - a.written);
  const chosen = [];
  for (const repetitions of groupBy(newest, (run) => run.experiment).values()) {
    if (chosen.length && chosen.length + repetitions.length > numChosenAtFirst) break;
    chosen.push(...repetitions.slice(0, numChosenAtFirst));
  }
  return chosen.map((run) => run.id);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input:not([type=checkbox]):not([type=range]), select, textarea");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const number = Number(event.key);
  if (event.key === "/") {
    event.preventDefault();
    sidebar.focusFilter();
  } else if (number >= 1 && number <= Object.keys(views).length) {
    state.set({ view: Object.keys(views)[number - 1] });
  } else {
    view?.key?.(event);
  }
}

async function load() {
  let changed = null;
  const before = app.fault;
  try {
    changed = await app.source.load();
    app.fault = "";
  } catch (error) {
    app.fault = error.message;
  }
  if (changed) app.runs.merge(changed);
  if (changed || app.fault !== before) update(new Set(["runs loaded"]));
}

async function poll() {
  if (!document.hidden) await load();
  setTimeout(poll, pollMilliseconds);
}

build();
load().then(() => {
  document.body.dataset.ready = Math.round(performance.now()); // for tests and benchmarks
  if (app.source.isLive) setTimeout(poll, pollMilliseconds);
});


