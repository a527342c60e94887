// Where the page gets its runs, curves and pictures from: the server, or what was put into the file itself.

const types = { wav: "audio/wav", mp4: "video/mp4", gif: "image/gif", txt: "text/plain" };

/** Reads what `ganlab.dashboard.content.pack_curves` has packed. */
export function unpackCurves(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const numbers = new Float64Array(buffer, 4 + length);
  return new Map(
    header.runs.map((run) => {
      const array = (place) => numbers.subarray(place, place + run.num);
      const [g_step, images, seconds] = run.axes.map(array);
      const metrics = new Map(
        Object.entries(run.metrics).map(([name, [mean, low, high]]) => [
          name,
          { mean: array(mean), low: low === null ? null : array(low), high: high === null ? null : array(high) },
        ]),
      );
      return [run.id, { ...run, axes: { g_step, images, hours: seconds.map((each) => each / 3600) }, metrics }];
    }),
  );
}

/** The server of `python -m ganlab.dashboard`. */
export class LiveSource {
  isLive = true;
  #token = "";

  /** Returns what has changed since the last call, or null. */
  async load() {
    const answer = await fetch(`/api/runs?since=${encodeURIComponent(this.#token)}`, { cache: "no-store" });
    if (answer.status === 304) return null;
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    const found = await answer.json();
    this.#token = found.token;
    return found;
  }

  async curves(runs, metrics) {
    const query = `runs=${runs.join(",")}&metrics=${encodeURIComponent(metrics.join("\n"))}`;
    const answer = await fetch(`/api/curves?${query}`);
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    return unpackCurves(await answer.arrayBuffer());
  }

  grid(run, [step, version]) {
    return `/samples/${run.id}/${step}.png?v=${version}`;
  }

  /** The address of what is played or read beside a grid. */
  recording(run, [step, version], name) {
    return `/samples/${run.id}/${step}/${name}?v=${version}`;
  }

  async text(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    return answer.text();
  }
}

/** A report: everything lies in the page. */
export class EmbeddedSource {
  isLive = false;
  #content;
  #curves;

  constructor(content) {
    this.#content = content;
    const text = atob(content.curves);
    this.#curves = unpackCurves(Uint8Array.from(text, (character) => character.charCodeAt(0)).buffer);
  }

  async load() {
    const found = this.#content.runs;
    this.#content.runs = null;
    return found;
  }

  async curves(runs) {
    return new Map(runs.filter((id) => this.#curves.has(id)).map((id) => [id, this.#curves.get(id)]));
  }

  grid(run, [step]) {
    return `data:image/png;base64,${this.#content.grids[`${run.id}/${step}`]}`;
  }

  recording(run, [step], name) {
    return `data:${types[name.split(".").at(-1)]};base64,${this.#content.recordings[run.id][step][name]}`;
  }

  async text(url) {
    const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (character) => character.charCodeAt(0));
    return new TextDecoder().decode(bytes);
  }
}
