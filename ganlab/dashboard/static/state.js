// What is shown, kept in the address, so that every view can be sent as a link.

const defaults = {
  view: "table", // see app.js
  runs: "", // ids of chosen runs, with commas
  filter: "",
  group: "",
  scores: "last", // or best
  seeds: "together", // or each
  sort: "", // a column; with a minus before it, the other way round
  x: "g_step", // or images, hours
  smooth: "0",
  log: "", // or y
  metrics: "", // of the charts, with line feeds; empty: the first ones
  step: "", // of the sample grids; empty: the last
  cell: "", // of the sample grids
  a: "", // runs of the pair
  b: "",
  keys: "differing", // or all
  along: "", // key of the scatter plot
  score: "", // metric of the scatter plot
  ranges: "", // on the axes of the parallel coordinates; see views/parallel.js
};

const listeners = new Set();
let values = read();

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(defaults).map(([key, value]) => [key, given.get(key) ?? value]));
}

/** Returns one of the values. */
export function get(key) {
  return values[key];
}

/** Changes values, the address and whatever listens; a change of view can be gone back from. */
export function set(changes) {
  const changed = Object.keys(changes).filter((key) => values[key] !== String(changes[key]));
  if (!changed.length) return;
  for (const key of changed) values[key] = String(changes[key]);
  const kept = Object.entries(values).filter(([key, value]) => value !== defaults[key]);
  const address = `#${new URLSearchParams(kept)}`;
  if (changed.includes("view")) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  tell(changed);
}

/** Calls a function with the names of the values that have changed. */
export function listen(listener) {
  listeners.add(listener);
}

function tell(changed) {
  for (const listener of listeners) listener(new Set(changed));
}

function reread() {
  const old = values;
  values = read();
  const changed = Object.keys(values).filter((key) => values[key] !== old[key]);
  if (changed.length) tell(changed);
}

addEventListener("popstate", reread);
addEventListener("hashchange", reread);
