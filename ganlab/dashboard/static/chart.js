// One chart of curves, on uPlot.

import { faint, styleColour } from "./colours.js";
import { h } from "./elements.js";
import { formatNumber } from "./format.js";

const height = 230;
const maxTooltipLines = 14;

/**
 * Draws curves into an element.
 *
 * @param root is emptied
 * @param title of the chart
 * @param unit of the axis
 * @param curves `{ label, colour, dash, x, y, raw?, low?, high? }`, arrays of one length each; NaN is a gap
 * @param log whether the vertical axis is logarithmic
 * @returns `{ destroy, note }`
 */
export function drawChart(root, { title, unit, curves, log }) {
  const { data, series, bands } = lay(curves, log);
  const plot = h("div", { class: "plot" });
  const tooltip = h("div", { class: "tooltip", hidden: true });
  root.replaceChildren(h("h3", {}, title), plot);
  const text = styleColour("--quiet");
  const line = styleColour("--line");
  const axis = {
    stroke: text,
    font: "11px system-ui, sans-serif",
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1, size: 4 },
  };
  const chart = new uPlot(
    {
      width: Math.max(plot.clientWidth, 200),
      height,
      legend: { show: false },
      padding: [8, 10, 0, 0],
      scales: { x: { time: false }, y: log ? { distr: 3 } : {} },
      cursor: {
        sync: { key: "curves" },
        focus: { prox: 24 },
        points: { size: 6 },
        dataIdx: (self, index, closest) => nearest(self.data[index], closest),
      },
      focus: { alpha: 0.35 },
      series: [{}, ...series],
      bands,
      axes: [
        { ...axis, size: 34, values: (self, ticks) => ticks.map((tick) => shortTick(tick)) },
        { ...axis, size: 56, values: (self, ticks) => ticks.map((tick) => (tick === null ? "" : formatNumber(tick, 3))) },
      ],
      hooks: { setCursor: [(self) => tell(self)] },
    },
    data,
    plot,
  );
  chart.over.append(tooltip);
  chart.over.addEventListener("mouseleave", () => (tooltip.hidden = true));
  let hovered = false;
  chart.over.addEventListener("mouseenter", () => (hovered = true));
  chart.over.addEventListener("mouseleave", () => (hovered = false));

  function tell(self) {
    const { left, top, idx } = self.cursor;
    if (!hovered || idx === null || left < 0) {
      tooltip.hidden = true;
      return;
    }
    const lines = self.series
      .map((each, index) => ({ each, value: self.data[index][self.cursor.idxs[index]] }))
      .filter(({ each, value }) => each.label && each.told && value !== null && value !== undefined)
      .sort((a, b) => b.value - a.value);
    tooltip.replaceChildren(
      h("b", {}, `${unit} ${formatNumber(self.data[0][idx], 5)}`),
      ...lines.slice(0, maxTooltipLines).map(({ each, value }) =>
        h("div", {}, h("i", { class: "dot", colour: each.colour }), h("span", {}, each.label), h("em", {}, formatNumber(value))),
      ),
      lines.length > maxTooltipLines ? h("small", {}, `and ${lines.length - maxTooltipLines} more`) : "",
    );
    tooltip.hidden = false;
    const { width } = self.over.getBoundingClientRect();
    const side = left > width / 2 ? left - tooltip.offsetWidth - 14 : left + 14;
    tooltip.style.transform = `translate(${side}px, ${Math.max(0, Math.min(top - 20, height - 60 - tooltip.offsetHeight))}px)`;
  }

  const observer = new ResizeObserver(() => {
    if (plot.clientWidth && plot.clientWidth !== chart.width) chart.setSize({ width: plot.clientWidth, height });
  });
  observer.observe(plot);
  return {
    destroy() {
      observer.disconnect();
      chart.destroy();
    },
  };
}

/** Turns curves into uPlot's columns on one axis, with the series and bands that show them. */
function lay(curves, log) {
  const series = [];
  const bands = [];
  const tables = [];
  for (const curve of curves) {
    const columns = [curve.x];
    const add = (values, options) => {
      columns.push(plain(values, log));
      series.push({ points: { show: curve.x.length < 2 }, spanGaps: true, ...options });
      return series.length;
    };
    const { colour, dash, label } = curve;
    if (curve.raw) add(curve.raw, { stroke: faint(colour, 0.25), width: 1 });
    if (curve.low && curve.high) {
      const high = add(curve.high, { stroke: "transparent", width: 0, points: { show: false } });
      const low = add(curve.low, { stroke: "transparent", width: 0, points: { show: false } });
      bands.push({ series: [high, low], fill: faint(colour, 0.16) });
    }
    add(curve.y, { stroke: colour, colour, label, dash, width: 1.75, told: true });
    tables.push(columns);
  }
  if (!tables.length) return { data: [[]], series, bands };
  const alike = tables.every(([x]) => x.length === tables[0][0].length && x.every((each, i) => each === tables[0][0][i]));
  const data = alike ? [Array.from(tables[0][0]), ...tables.flatMap((table) => table.slice(1))] : uPlot.join(tables);
  return { data, series, bands };
}

/** Numbers with null for what cannot be drawn. */
function plain(values, log) {
  return Array.from(values, (value) => (Number.isFinite(value) && (!log || value > 0) ? value : null));
}

/** The place of the value nearest to a place where there is none, if one is near. */
function nearest(values, place) {
  for (let away = 0; away < 64; away += 1) {
    for (const index of [place - away, place + away]) {
      if (values[index] !== null && values[index] !== undefined) return index;
    }
  }
  return place;
}

function shortTick(tick) {
  if (tick === null) return "";
  if (Math.abs(tick) >= 1e6) return `${tick / 1e6}M`;
  return Math.abs(tick) >= 1e4 ? `${tick / 1e3}k` : String(tick);
}
