// Numbers, times and settings as people write them.

/** Four significant digits, without needless zeros; a dash for what is no number. */
export function formatNumber(value, digits = 4) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(digits - 2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

/** A score; `nan` where a run ended with no finite number. */
export function formatScore(value) {
  return Number.isNaN(value) ? "nan" : formatNumber(value);
}

/** Whole numbers with thin spaces between thousands. */
export function formatCount(value) {
  return typeof value === "number" && Number.isFinite(value)
    ? String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u2009")
    : "–";
}

/** 1.2M, 340k. */
export function formatSize(value) {
  if (typeof value !== "number") return "–";
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)}G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)}M`;
  return value >= 1e3 ? `${(value / 1e3).toFixed(0)}k` : String(value);
}

/** h:mm:ss. */
export function formatDuration(seconds) {
  if (typeof seconds !== "number") return "–";
  const whole = Math.round(seconds);
  const two = (part) => String(part).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** How long ago something was, in its largest unit. */
export function formatAge(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60]];
  for (const [unit, size] of units) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.max(0, Math.floor(seconds))} s`;
}

/** A setting's value; of a class its name alone. */
export function formatSetting(key, value) {
  if (value === undefined || value === null) return "–";
  if (typeof value === "object") return JSON.stringify(value).replace(/^\{\}$/, "none");
  if (typeof value === "number") return Math.abs(value) < 1e-2 && value !== 0 ? formatNumber(value) : String(value);
  return key.endsWith("_target_") ? String(value).split(".").pop() : String(value);
}

/** What differs between runs, said of one of them: classes by their names, the rest as `key value`. */
export function formatDifferences(run, keys) {
  const labels = shortKeys(keys);
  const said = keys.filter((key) => run.settings.has(key) && run.settings.get(key) !== null);
  return said.map((key) => {
    const value = formatSetting(key, run.settings.get(key));
    return /(_target_|\.name)$/.test(key) ? value : `${labels.get(key)} ${value}`;
  });
}

/** A dotted key as the head of a column. */
export function formatKey(key) {
  return key.replace(/\._target_$/, "");
}

/** The ends of dotted keys, as far as they tell them apart. */
export function shortKeys(keys) {
  const ends = new Map();
  for (const key of keys) {
    const end = formatKey(key).split(".").pop();
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  return new Map(
    keys.map((key) => {
      const name = formatKey(key);
      return [key, ends.get(name.split(".").pop()) === 1 ? name.split(".").pop() : name];
    }),
  );
}
