// The list of runs at the left: filter, groups, status, and which runs are chosen.

import { colourOf } from "./colours.js";
import { choice, h } from "./elements.js";
import { formatAge, formatCount, formatDifferences, formatKey, formatScore, formatSetting } from "./format.js";
import { groupBy } from "./runs.js";
import * as state from "./state.js";
import { windowed } from "./window.js";

const rowHeight = 50;
const statusWords = {
  finished: "finished",
  running: "running",
  failed: "failed",
  interrupted: "interrupted",
  silent: "running, but silent",
  unreadable: "cannot be read",
  unknown: "unknown",
};

/** Builds the list; `update()` shows it anew. */
export function buildSidebar(root, app) {
  const closed = new Set();
  const filter = h("input", {
    type: "search",
    id: "filter",
    class: "filter",
    placeholder: "Filter: loss=hinge lr<1e-3 …",
    "aria-label": "Filter runs",
    title: "Terms that must all hold: a part of the name, or key=value, !=, <, >, <=, >=; several values with commas.  Key: /",
    autocomplete: "off",
    spellcheck: "false",
    value: state.get("filter"),
    oninput: () => state.set({ filter: filter.value }),
  });
  const tools = h("div", { class: "tools" });
  const body = h("div", { class: "rows" });
  const scroller = h("div", { class: "scroller", tabindex: "-1" }, body);
  const foot = h("footer", {});
  const list = windowed({ scroller, body, rowHeight, build, spacer: (height) => sized(h("div", {}), height) });
  let items = [];
  let differing = [];
  let headline = null;

  root.replaceChildren(
    h("header", {}, h("a", { class: "brand", href: "#" }, h("i", {}), "ganlab"), filter),
    tools,
    scroller,
    foot,
  );
  scroller.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const key = event.target.closest("[data-key]")?.dataset.key;
    if (!step || !key) return;
    event.preventDefault();
    list.focus(items.findIndex((item) => item.key === key) + step);
  });

  function build(item) {
    return item.run ? runRow(item) : groupRow(item);
  }

  function runRow({ key, run }) {
    const chosen = app.chosen.includes(run.id);
    const score = headline && app.runs.score(run, headline, state.get("scores"));
    const detail = run.readable ? [...formatDifferences(run, differing), `seed ${run.seed}`].join(" · ") : run.faults[0];
    return h(
      "label",
      { class: `run ${chosen ? "chosen" : ""}`, "data-key": key, colour: colourOf(run.id), title: `${run.place}\n${detail}` },
      h("input", {
        type: "checkbox",
        checked: chosen,
        "aria-label": run.title,
        onchange: () => app.choose(run.id, !chosen),
      }),
      h(
        "span",
        { class: "what" },
        h("span", { class: "name" }, run.title),
        h("span", { class: "detail" }, h("i", { class: `status ${run.status}`, title: statusWord(run) }), detail),
      ),
      h("span", { class: "figure" }, score ? formatScore(score.value) : "", h("small", {}, formatCount(run.g_steps))),
    );
  }

  function groupRow({ key, name, members }) {
    const num = members.filter((run) => app.chosen.includes(run.id)).length;
    const isClosed = closed.has(name);
    return h(
      "div",
      { class: "group", "data-key": key },
      h("input", {
        type: "checkbox",
        "aria-label": `all of ${name}`,
        "data-part": "all",
        checked: num === members.length,
        indeterminate: num > 0 && num < members.length,
        onchange: () => app.chooseAll(members, num < members.length),
      }),
      h(
        "button",
        {
          type: "button",
          class: "name",
          "data-part": "fold",
          "aria-expanded": String(!isClosed),
          onclick: () => {
            if (!closed.delete(name)) closed.add(name);
            update();
          },
        },
        name,
      ),
      h("small", {}, members.length),
    );
  }

  function update() {
    const found = app.filtered;
    if (document.activeElement !== filter) filter.value = state.get("filter");
    differing = app.runs.tellingKeys(found, 6);
    headline = app.runs.metrics(found)[0] ?? null;
    items = state.get("group") ? grouped(found) : found.map((run) => ({ key: run.id, run }));
    drawTools(found);
    list.show(items);
    const counts = [...groupBy(found, (run) => run.status)].map(([status, runs]) => `${runs.length} ${status}`);
    foot.replaceChildren(
      h("span", {}, counts.join(", ") || "no run fits the filter"),
      h("span", { class: "live", role: "status" }, app.liveText()),
    );
  }

  function grouped(found) {
    const key = state.get("group");
    const nameOf = (run) =>
      key === "status" ? run.status : `${formatKey(key)} ${formatSetting(key, run.settings.get(key))}`;
    return [...groupBy(found, nameOf)].flatMap(([name, members]) => [
      { key: `group ${name}`, name, members },
      ...(closed.has(name) ? [] : members.map((run) => ({ key: run.id, run }))),
    ]);
  }

  function drawTools(found) {
    const keys = [...new Set(["model.name", "data.name", ...app.runs.differingKeys(app.runs.all)])];
    const options = [["", "nothing"], ["status", "status"], ...keys.map((key) => [key, formatKey(key)])];
    const button = (text, title, act) => h("button", { type: "button", class: "quiet", title, onclick: act }, text);
    tools.replaceChildren(
      h(
        "div",
        { class: "choose" },
        h("span", {}, `${app.chosen.length} of ${found.length} chosen`),
        button("all", "Choose all runs that fit the filter", () => app.chooseAll(found, true)),
        button("none", "Choose no run", () => state.set({ runs: "-" })),
        headline && app.runs.better(headline) ? button("best 5", `Choose the five best by ${headline}`, () => app.chooseBest(headline, 5)) : null,
      ),
      choice("Group by", options, state.get("group"), (group) => state.set({ group })),
    );
  }

  return { update, focusFilter: () => filter.focus() };
}

function statusWord(run) {
  const age = formatAge(Date.now() / 1000 - run.written);
  return `${statusWords[run.status] ?? run.status}, last written ${age} ago`;
}

function sized(element, height) {
  element.style.height = `${height}px`;
  return element;
}
