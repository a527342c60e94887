// The language that chooses runs, as in ganlab/runs/reading/conditions.py: `loss=hinge lr<1e-3 status!=failed`.

const term = /^([\w.]+)(!=|<=|>=|=|<|>)(.+)$/;
const orders = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };

/** Returns a function that says of a run whether all terms hold. */
export function parseFilter(text) {
  const conditions = text.split(/\s+/).filter(Boolean).map(parseTerm);
  return (run) => conditions.every((condition) => condition(run));
}

function parseTerm(text) {
  const match = term.exec(text);
  if (!match) return (run) => run.name.toLowerCase().includes(text.toLowerCase());
  const [, key, sign, value] = match;
  if (sign in orders) {
    const limit = asNumber(value);
    return (run) => valuesOf(run, key).some((found) => asNumber(found) !== null && orders[sign](asNumber(found), limit));
  }
  const wanted = value.split(",");
  const equals = (run) => valuesOf(run, key).some((found) => wanted.some((each) => same(found, each)));
  return sign === "=" ? equals : (run) => !equals(run);
}

function valuesOf(run, key) {
  const facts = { name: run.name, status: run.status, g_steps: run.g_steps };
  const found = Object.hasOwn(facts, key) ? [facts[key]] : [];
  for (const [dotted, value] of run.settings) {
    if (dotted === key || dotted.endsWith(`.${key}`) || dotted === `${key}.name`) found.push(value);
    else if (dotted === `${key}._target_`) found.push(...String(value).split(".").slice(-2));
  }
  return found;
}

function same(found, wanted) {
  const number = asNumber(found);
  if (number !== null && number === asNumber(wanted)) return true;
  return String(found).toLowerCase() === wanted.toLowerCase();
}

function asNumber(value) {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || value.trim() === "" || Number.isNaN(Number(value))) return null;
  return Number(value);
}
