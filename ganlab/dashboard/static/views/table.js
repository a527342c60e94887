// What differs between runs, and their scores; ranks only numbers of one protocol.

import { colourOf } from "../colours.js";
import { empty, h, switcher } from "../elements.js";
import { formatCount, formatDuration, formatNumber, formatScore, formatSetting, formatSize, shortKeys } from "../format.js";
import { groupBy } from "../runs.js";
import * as state from "../state.js";
import { windowed } from "../window.js";

const rowHeight = 36;
const maxKeys = 24;

export function tableView(root, app) {
  const bar = h("div", { class: "bar" });
  const notes = h("div", { class: "notes", role: "status" });
  const columnsOf = h("colgroup", {});
  const head = h("thead", {});
  const body = h("tbody", {});
  const scroller = h(
    "div",
    { class: "scroller table-scroller", tabindex: "0", "aria-label": "Table of runs" },
    h("table", {}, columnsOf, head, body),
  );
  let columns = [];
  const list = windowed({
    scroller,
    body,
    rowHeight,
    spacer: (height) => {
      const row = h("tr", { class: "spacer", "aria-hidden": "true" });
      row.style.height = `${height}px`;
      return row;
    },
    build: (item) =>
      h(
        "tr",
        { "data-key": item.key, class: item.runs.some((run) => app.chosen.includes(run.id)) ? "chosen" : "" },
        columns.map((column) => column.cell(item)),
      ),
  });
  root.append(bar, notes, scroller);
  let refused = "";

  function update() {
    const runs = app.filtered;
    const pick = state.get("scores");
    const together = state.get("seeds") === "together";
    const metrics = app.runs.metrics(runs);
    const rows = app.runs.rows(runs, metrics, pick, together).map((row) => ({ ...row, key: row.runs[0].id }));
    const conflicts = new Map(metrics.map((metric) => [metric, app.runs.conflict(rows, metric)]).filter(([, why]) => why));
    columns = makeColumns(rows, runs, metrics, conflicts);
    const sorted = sortRows(rows, columns);
    bar.replaceChildren(
      switcher("Scores", [["last", "Last score"], ["best", "Best score"]], pick, (scores) => state.set({ scores })),
      switcher(
        "Seeds",
        [["together", "Seeds together"], ["each", "Each run"]],
        state.get("seeds"),
        (seeds) => state.set({ seeds }),
      ),
      h("span", { class: "hint" }, `${rows.length} ${rows.length === 1 ? "row" : "rows"} of ${runs.length} runs`),
    );
    const reasons = [...conflicts].map(([metric, why]) => h("p", { class: "conflict" }, h("b", {}, metric), ` is not ranked: protocols differ in ${why}`));
    notes.replaceChildren(refused ? h("p", { class: "refusal" }, refused) : "", ...reasons);
    refused = "";
    columnsOf.replaceChildren(
      ...columns.map((column) => {
        const col = h("col", {});
        col.style.width = `${column.width}ch`;
        return col;
      }),
    );
    head.replaceChildren(h("tr", {}, columns.map((column) => column.head)));
    list.show(sorted);
    if (!runs.length) notes.replaceChildren(empty("No run fits the filter."));
  }

  function makeColumns(rows, runs, metrics, conflicts) {
    const keys = app.runs.differingKeys(runs).slice(0, maxKeys);
    const labels = shortKeys(keys);
    const plain = (name, label, width, text, value) => ({
      name,
      width,
      value,
      head: heading(name, label, "", name),
      cell: (row) => h("td", { title: text(row) }, text(row)),
    });
    const figure = (name, label, width, text, value) => ({
      ...plain(name, label, width, text, value),
      head: heading(name, label, "figure", name),
      cell: (row) => h("td", { class: "figure" }, text(row)),
    });
    const mean = (row, of) => {
      const known = row.runs.map(of).filter((value) => typeof value === "number" && Number.isFinite(value));
      return known.length ? known.reduce((a, b) => a + b, 0) / known.length : undefined;
    };
    const speed = (row) => mean(row, (run) => run.images / run.seconds);
    const size = (network) => (row) => row.runs[0].facts.parameters?.[network];
    const sized = rows.some((row) => size("generator")(row) !== undefined);
    return [
      nameColumn(rows),
      ...metrics.map((metric) => scoreColumn(metric, rows, conflicts.get(metric))),
      ...keys.map((key) => {
        const text = (row) => formatSetting(key, row.runs[0].settings.get(key));
        return {
          ...plain(key, labels.get(key), widthOf(rows, text, labels.get(key)), text, (row) => row.runs[0].settings.get(key) ?? ""),
          head: heading(key, labels.get(key), "", key),
        };
      }),
      figure("seeds", "seeds", 9, seedsOf, (row) => row.runs.length),
      figure("g_steps", "g_steps", 11, (row) => formatCount(mean(row, (run) => run.g_steps)), (row) => mean(row, (run) => run.g_steps)),
      figure("time", "time", 11, (row) => formatDuration(mean(row, (run) => run.seconds)), (row) => mean(row, (run) => run.seconds)),
      figure("images/s", "images/s", 11, (row) => formatCount(speed(row)), speed),
      ...(sized
        ? [
            figure("generator", "G size", 10, (row) => formatSize(size("generator")(row)), size("generator")),
            figure("discriminator", "D size", 10, (row) => formatSize(size("discriminator")(row)), size("discriminator")),
          ]
        : []),
    ];
  }

  function nameColumn(rows) {
    const shared = (row) => (row.runs.length > 1 ? row.runs[0].name.replace(/-s\d+$/, "") : row.runs[0].name);
    const same = groupBy(rows, shared);
    const nameOf = (row) => (same.get(shared(row)).length > 1 ? `${shared(row)} (${row.runs[0].place})` : shared(row));
    return {
      name: "name",
      width: widthOf(rows, nameOf, "run", 40) + 6,
      value: nameOf,
      head: heading("name", "run", "first", "name"),
      cell: (row) => {
        const chosen = row.runs.filter((run) => app.chosen.includes(run.id));
        const all = chosen.length === row.runs.length;
        return h(
          "td",
          { class: "first", title: row.runs.map((run) => run.place).join("\n") },
          h(
            "label",
            {},
            h("input", {
              type: "checkbox",
              "aria-label": nameOf(row),
              colour: colourOf(chosen[0]?.id),
              checked: all,
              indeterminate: chosen.length > 0 && !all,
              onchange: () => app.chooseAll(row.runs, !all),
            }),
            h("i", { class: `status ${worst(row.runs)}`, title: worst(row.runs) }),
            h("span", {}, nameOf(row)),
          ),
        );
      },
    };
  }

  function scoreColumn(metric, rows, conflict) {
    const way = app.runs.better(metric);
    const [arrow, meaning] = { lower: ["↓", "lower is better"], higher: ["↑", "higher is better"] }[way] ?? ["", "neither lower nor higher is better"];
    const means = rows.map((row) => row.cells.get(metric)?.mean).filter(Number.isFinite);
    const best = conflict || !way || means.length < 2 ? undefined : way === "lower" ? Math.min(...means) : Math.max(...means);
    const text = (row) => {
      const cell = row.cells.get(metric);
      if (!cell) return "–";
      return cell.deviation === null || Number.isNaN(cell.mean) ? formatScore(cell.mean) : `${formatNumber(cell.mean)} ± ${formatNumber(cell.deviation, 2)} (${cell.num})`;
    };
    const title = (cell) =>
      [
        cell.step === null ? "mean ± standard deviation over seeds (number of seeds)" : `at g_step ${formatCount(cell.step)}`,
        cell.interval ? `bootstrap 95 % interval over images: ${cell.interval.map((end) => formatNumber(end)).join(" to ")}` : "",
        `protocol: ${JSON.stringify(app.runs.protocols.get(cell.protocols[0]))}`,
      ].filter(Boolean).join("\n");
    return {
      name: metric,
      width: widthOf(rows, text, `${metric} ↑`, 30) + 2,
      way,
      conflict,
      value: (row) => row.cells.get(metric)?.mean,
      head: heading(metric, `${metric} ${arrow}`.trim(), "figure", conflict ? `not ranked: protocols differ in ${conflict}` : meaning, conflict),
      cell: (row) => {
        const cell = row.cells.get(metric);
        const wins = cell && cell.mean === best;
        return h("td", { class: `figure ${wins ? "best" : ""}`, title: cell ? title(cell) : null }, text(row), wins ? h("b", { class: "star", title: "best" }, "★") : "");
      },
    };
  }

  function heading(name, label, kind, title, conflict) {
    const [by, downwards] = sorting();
    const order = by === name ? (downwards ? "descending" : "ascending") : null;
    return h(
      "th",
      { class: kind, scope: "col", "aria-sort": order },
      h(
        "button",
        { type: "button", title, onclick: () => sortBy(name, label, conflict) },
        conflict ? h("i", { class: "warn", "aria-label": "not ranked" }, "⚠") : "",
        h("span", {}, label),
        order ? h("i", {}, downwards ? " ▾" : " ▴") : "",
      ),
    );
  }

  function sortBy(name, label, conflict) {
    if (conflict) {
      refused = `Not sorted by ${name}: these numbers were measured in different ways and say nothing about which run is better. Filter the runs until their protocols agree.`;
      update();
      return;
    }
    const [by, downwards] = sorting();
    const column = columns.find((each) => each.name === name);
    const first = column?.way === "higher" ? `-${name}` : name; // the best first
    state.set({ sort: by === name ? (downwards ? name : `-${name}`) : first });
  }

  function sortRows(rows, all) {
    const [by, downwards] = sorting();
    const column = all.find((each) => each.name === by);
    if (!column || column.conflict) return rows;
    const sign = downwards ? -1 : 1;
    const order = (a, b) => {
      const [x, y] = [column.value(a), column.value(b)];
      const absent = (value) => value === undefined || Number.isNaN(value);
      if (absent(x) || absent(y)) return absent(x) - absent(y); // last, in either order
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
    };
    return [...rows].sort(order);
  }

  return { update };
}

function sorting() {
  const by = state.get("sort");
  return by.startsWith("-") ? [by.slice(1), true] : [by, false];
}

function widthOf(rows, text, label, most = 24) {
  const longest = rows.reduce((width, row) => Math.max(width, text(row).length), label.length + 3);
  return Math.min(longest, most) + 2;
}

function seedsOf(row) {
  return row.runs.map((run) => run.seed ?? "–").join(", ");
}

function worst(runs) {
  const order = ["failed", "unreadable", "silent", "interrupted", "running", "unknown", "finished"];
  return order.find((status) => runs.some((run) => run.status === status)) ?? "unknown";
}
