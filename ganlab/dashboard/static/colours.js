// Colours of chosen runs: each keeps its own until it is no longer chosen.

const palette = [
  "#4c6ef5", "#f08c00", "#0ca678", "#e64980", "#7950f2", "#1098ad", "#e8590c", "#66a80f", "#c2255c", "#868e96",
];
const places = new Map();

/** Gives places in the palette to the chosen runs, and takes them from the others. */
export function assignColours(ids) {
  for (const id of places.keys()) if (!ids.includes(id)) places.delete(id);
  for (const id of ids) {
    if (places.has(id)) continue;
    const taken = new Set(places.values());
    let place = 0;
    while (taken.has(place)) place += 1;
    places.set(id, place);
  }
}

/** The colour of a chosen run; undefined for others. */
export function colourOf(id) {
  return places.has(id) ? palette[places.get(id) % palette.length] : undefined;
}

/** Dashes for the runs beyond the palette, which repeat its colours. */
export function dashOf(id) {
  return [[], [6, 4], [2, 3], [10, 3, 2, 3]][Math.floor((places.get(id) ?? 0) / palette.length) % 4];
}

/** A colour between blue and yellow by way of magenta, for a share from 0 to 1; brightness grows with it. */
export function scaleColour(share) {
  const stops = [[59, 76, 192], [129, 74, 190], [204, 71, 120], [240, 131, 70], [244, 196, 66]];
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  const mixed = stops[index].map((from, part) => Math.round(from + (stops[index + 1][part] - from) * (place - index)));
  return `rgb(${mixed.join(" ")})`;
}

/** A colour of the style sheet as it is now, in the dark or the light. */
export function styleColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The same colour with less of it. */
export function faint(colour, share) {
  return `${colour}${Math.round(share * 255).toString(16).padStart(2, "0")}`;
}
