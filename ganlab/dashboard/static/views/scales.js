// Where values stand along an axis.

import { formatNumber, formatSetting } from "../format.js";

/** Places for values: by size (or its logarithm) where all are numbers, else one place for each text. */
export function scaleOf(values, from, to, key = "") {
  const numbers = values.filter((value) => typeof value === "number" && Number.isFinite(value));
  if (numbers.length === values.length && numbers.length) {
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    const log = low > 0 && high / low >= 30;
    const size = (value) => (log ? Math.log(value) : value);
    const span = size(high) - size(low) || 1;
    const place = (value) => (high === low ? (from + to) / 2 : from + ((size(value) - size(low)) / span) * (to - from));
    const ticks = log ? logTicks(low, high) : linearTicks(low, high);
    return { place, ticks: ticks.map((tick) => [place(tick), formatNumber(tick, 3)]) };
  }
  const texts = [...new Set(values.map((value) => JSON.stringify(value) ?? "null"))].sort();
  const spot = (text) => (texts.length < 2 ? (from + to) / 2 : from + ((texts.indexOf(text) + 0.5) / texts.length) * (to - from));
  const named = new Map(values.map((value) => [JSON.stringify(value) ?? "null", value]));
  return {
    place: (value) => spot(JSON.stringify(value) ?? "null"),
    ticks: texts.slice(0, 24).map((text) => [spot(text), formatSetting(key, named.get(text)).slice(0, 18)]),
  };
}

function linearTicks(low, high) {
  if (low === high) return [low];
  const raw = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high * 1.0001; power += 1) if (10 ** power >= low * 0.9999) ticks.push(10 ** power);
  return ticks.length > 1 ? ticks : [low, high];
}
