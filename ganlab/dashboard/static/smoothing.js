// What is done to curves before they are drawn.

/** Exponential moving average, corrected for its start; gaps stay gaps. */
export function smooth(values, weight) {
  if (!weight) return values;
  const smoothed = new Float64Array(values.length);
  let sum = 0;
  let mass = 0;
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (Number.isNaN(value)) {
      smoothed[index] = NaN;
      continue;
    }
    sum = weight * sum + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    smoothed[index] = sum / mass;
  }
  return smoothed;
}

/** Mean and standard deviation of several curves, on the axis of the one with the most points. */
export function meanOf(curves) {
  const x = curves.reduce((a, b) => (b.x.length > a.x.length ? b : a)).x;
  const columns = curves.map((curve) => interpolate(curve, x));
  const num = x.length;
  const [mean, low, high] = [0, 0, 0].map(() => new Float64Array(num).fill(NaN));
  for (let index = 0; index < num; index += 1) {
    const values = columns.map((column) => column[index]).filter((value) => !Number.isNaN(value));
    if (!values.length) continue;
    const middle = values.reduce((a, b) => a + b, 0) / values.length;
    const square = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
    const deviation = values.length > 1 ? Math.sqrt(square / (values.length - 1)) : 0;
    mean[index] = middle;
    low[index] = middle - deviation;
    high[index] = middle + deviation;
  }
  return { x, y: mean, low, high };
}

/** Values of a curve at other places, straight between its points; NaN outside of them. */
export function interpolate({ x, y }, places) {
  const found = new Float64Array(places.length).fill(NaN);
  let right = 0;
  for (let index = 0; index < places.length; index += 1) {
    while (right < x.length && x[right] < places[index]) right += 1;
    if (right >= x.length) break;
    if (x[right] === places[index]) found[index] = y[right];
    else if (right > 0) {
      const share = (places[index] - x[right - 1]) / (x[right] - x[right - 1]);
      found[index] = y[right - 1] + share * (y[right] - y[right - 1]);
    }
  }
  return found;
}
