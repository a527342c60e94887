// Why scores may not be ranked, in words (the rule of ganlab/runs/protocols.py).

/** The fields in which protocols differ, each by its name, in words, and with its values. */
export function saidDifferences(protocols, words) {
  const reasons = [];
  for (const field of new Set(protocols.flatMap((protocol) => Object.keys(protocol)))) {
    const values = distinct(protocols.map((protocol) => (Object.hasOwn(protocol, field) ? protocol[field] : null)));
    const meaning = Object.hasOwn(words, field) ? words[field] : field.replaceAll("_", " ");
    if (values.length > 1) reasons.push(`${field} (${meaning}: ${said(values).join(" / ")})`);
  }
  return reasons.join("; ");
}

function distinct(values) {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}

/** Values as people say them; of mappings only what differs between them. */
function said(values) {
  const parts = values.map((value) => new Map(isMapping(value) ? Object.entries(value) : [["", value]]));
  const names = [...new Set(parts.flatMap((part) => [...part.keys()]))];
  const text = (part, name) => JSON.stringify(part.get(name) ?? null);
  const differing = names.filter((name) => parts.some((part) => text(part, name) !== text(parts[0], name)));
  // A checksum says nothing beside names and counts that differ.
  const telling = differing.filter((name) => !name.endsWith("sha256"));
  const told = telling.length ? telling : differing;
  return parts.map((part) => told.map((name) => word(name, part.get(name))).filter(Boolean).join(", ") || "none");
}

function isMapping(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function word(name, value) {
  if (value === undefined || value === null) return name ? "" : "none";
  let text = typeof value === "string" ? value : JSON.stringify(value);
  if (typeof value === "boolean") text = value ? "yes" : "no";
  else if (Number.isInteger(value)) text = value.toLocaleString("en");
  else if (name.endsWith("sha256") || /^[0-9a-z]{64}$/.test(text)) text = text.slice(0, 8);
  if (name === "num") return `${text} images`;
  if (name === "sha256") return `checksum ${text}`;
  return ["", "name", "split"].includes(name) ? text : `${name.replaceAll("_", " ")} ${text}`;
}
