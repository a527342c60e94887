// The runs: what differs between them, and which of their scores may be ranked (the rule of ganlab/runs/comparison.py).

import { parseFilter } from "./conditions.js";
import { saidDifferences } from "./protocols.js";

const silentAfterSeconds = 600;

/** All runs that the source has told of. */
export class Runs {
  all = [];
  protocols = new Map();
  #byId = new Map();
  /** By metric, once asked for: which way is up. */
  #better = new Map();
  #common = {};
  #notMathematics = [];
  #fieldWords = {};
  /** What differs in lists of runs that have been asked for. */
  #differing = new WeakMap();

  /** Takes in what a source has loaded. */
  merge(answer) {
    this.#differing = new WeakMap();
    if (answer.common) {
      this.#common = answer.common;
      this.#byId.clear();
    }
    this.#notMathematics = answer.notMathematics;
    this.#fieldWords = answer.fieldWords;
    for (const [name, protocol] of Object.entries(answer.protocols)) this.protocols.set(name, protocol);
    this.#better.clear();
    for (const run of answer.runs) this.#byId.set(run.id, this.#complete(run));
    this.all = answer.order.map((id) => this.#byId.get(id)).filter(Boolean);
    const names = groupBy(this.all, (run) => run.name);
    for (const run of this.all) run.title = names.get(run.name).length > 1 ? `${run.name} (${run.place})` : run.name;
    const kept = new Set(answer.order);
    for (const id of this.#byId.keys()) if (!kept.has(id)) this.#byId.delete(id);
  }

  #complete(run) {
    // Maps, because a key may be called __proto__.
    const scores = new Map(Object.entries(run.scores));
    const settings = new Map(Object.entries(run.readable ? { ...this.#common, ...run.settings } : run.settings));
    const running = run.facts.status === "running";
    const silent = running && Date.now() / 1000 - run.written > silentAfterSeconds;
    const status = !run.readable ? "unreadable" : silent ? "silent" : String(run.facts.status ?? "unknown");
    const better = new Map(Object.entries(run.better));
    const recordings = new Map(run.recordings);
    return { ...run, scores, better, recordings, settings, status, own: Object.keys(run.settings), seed: settings.get("seed") };
  }

  get(id) {
    return this.#byId.get(id);
  }

  filtered(text) {
    return this.all.filter(parseFilter(text));
  }

  /** Which way of a metric is up, as its result lines say: "lower", "higher", or null for neither. */
  better(metric) {
    if (!this.#better.has(metric)) {
      const said = new Set(this.all.map((run) => run.better.get(metric)).filter(Boolean));
      this.#better.set(metric, said.size === 1 ? [...said][0] : null);
    }
    return this.#better.get(metric);
  }

  /** Metrics of some runs, those that most of them have first. */
  metrics(runs) {
    return byFrequency(runs.flatMap((run) => [...run.scores.keys()]));
  }

  decidesMathematics(key) {
    return !this.#notMathematics.some((out) => key === out || key.startsWith(`${out}.`));
  }

  /** Keys that do not have the same value in all of these runs; those that only repeat a shorter one are left out. */
  differingKeys(runs, mathematicsOnly = true) {
    if (!this.#differing.has(runs)) this.#differing.set(runs, new Map());
    const known = this.#differing.get(runs);
    if (!known.has(mathematicsOnly)) known.set(mathematicsOnly, this.#findDifferingKeys(runs, mathematicsOnly));
    return known.get(mathematicsOnly);
  }

  #findDifferingKeys(runs, mathematicsOnly) {
    const readable = runs.filter((run) => run.readable);
    if (readable.length < 2) return [];
    const keys = [...new Set(readable.flatMap((run) => run.own))].sort();
    const columns = new Map();
    for (const key of keys) {
      if (mathematicsOnly && (key === "seed" || !this.decidesMathematics(key))) continue;
      const column = readable.map((run) => JSON.stringify(run.settings.get(key)));
      if (column.some((value) => value !== column[0])) columns.set(key, column.join("\n"));
    }
    const repeats = (key) =>
      columns.has(`${key}._target_`) || // a group that is empty in some runs
      [...columns].some(
        ([other, column]) =>
          other.split(".").length < key.split(".").length &&
          other.split(".").pop() === key.split(".").pop() &&
          column === columns.get(key),
      );
    const kept = [...columns.keys()].filter((key) => !mathematicsOnly || !repeats(key));
    // What every run has before what only some have; of these, what was chosen before numbers.
    const rank = (key) => 2 * readable.some((run) => !run.settings.has(key)) + !isChoice(key);
    return mathematicsOnly ? kept.sort((a, b) => rank(a) - rank(b)) : kept;
  }

  /** The few keys that tell runs apart in a line of text: classes, and what all of them have. */
  tellingKeys(runs, num) {
    const keys = this.differingKeys(runs);
    return keys.filter((key) => isChoice(key) || runs.every((run) => run.settings.has(key))).slice(0, num);
  }

  /**
   * The last score of a run, or the best by the same protocol: `{ step, value, protocol, interval }`, or null where it
   * has none. The value is NaN where the run ended so; the last is all there is where neither way is better.
   */
  score(run, metric, pick) {
    const latest = new Map((run.scores.get(metric) ?? []).map((each) => [each[0], each]));
    const found = [...latest.values()].sort((a, b) => a[0] - b[0]);
    if (!found.length) return null;
    const way = this.better(metric);
    const sign = way === "higher" ? -1 : 1;
    const last = found.at(-1);
    const alike = found.filter((each) => each[2] === last[2] && each[1] !== null);
    const chosen = pick === "best" && way && alike.length ? alike.reduce((a, b) => (sign * b[1] < sign * a[1] ? b : a)) : last;
    const [step, value, protocol, interval] = chosen;
    return { step, value: value ?? NaN, protocol, interval };
  }

  /** Rows of a table: runs that differ only in the seed together, or each by itself. */
  rows(runs, metrics, pick, together) {
    const groups = together ? [...groupBy(runs, (run) => run.experiment).values()] : runs.map((run) => [run]);
    return groups.map((group) => {
      const members = latestOfEachSeed(group);
      const cells = new Map();
      for (const metric of metrics) {
        const scores = members.map((run) => this.score(run, metric, pick)).filter(Boolean);
        if (scores.length) cells.set(metric, cellOf(scores));
      }
      return { runs: members, cells };
    });
  }

  /** Why the scores of a metric may not be ranked: the protocol fields that differ and their values; or null. */
  conflict(rows, metric) {
    const names = new Set(rows.flatMap((row) => row.cells.get(metric)?.protocols ?? []));
    if (names.size < 2) return null;
    const protocols = [...names].map((name) => this.protocols.get(name) ?? {});
    return saidDifferences(protocols, this.#fieldWords) || "protocols that are not alike";
  }
}

function cellOf(scores) {
  const values = scores.map((score) => score.value);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    deviation: values.length > 1 ? Math.sqrt(square / (values.length - 1)) : null,
    num: values.length,
    interval: values.length === 1 ? scores[0].interval : null,
    protocols: scores.map((score) => score.protocol),
    step: scores.length === 1 ? scores[0].step : null,
  };
}

/** Drops runs that only repeat another with the same seed: they are no further sample. */
function latestOfEachSeed(group) {
  const latest = new Map();
  const byStart = [...group].sort((a, b) => String(a.facts.started).localeCompare(String(b.facts.started)));
  for (const run of byStart) latest.set(String(run.seed), run);
  return group.filter((run) => latest.get(String(run.seed)) === run);
}

/** Whether a key names what was chosen, rather than how much of it. */
export function isChoice(key) {
  return /(_target_|\.name)$/.test(key);
}

/** A Map from keys to lists. */
export function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return groups;
}

/** Distinct texts, the most frequent first, else in order. */
export function byFrequency(texts) {
  const counts = new Map();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
}
