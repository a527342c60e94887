// Two runs in one place, flipped: what has changed between them jumps to the eye.

import { colourOf } from "../colours.js";
import { empty, h, tag } from "../elements.js";
import { formatCount } from "../format.js";
import * as state from "../state.js";
import { gridAt, loadPicture, preload, stepsOf, timeline } from "./pictures.js";

export function pairView(root, app) {
  const bar = h("div", { class: "bar" });
  const notes = h("div", { class: "notes" });
  const stage = h("div", { class: "pair" });
  root.append(bar, notes, stage);
  const time = timeline(bar, { move: (step) => state.set({ step }) });
  const pickers = h("div", { class: "pickers" });
  bar.prepend(pickers);
  let side = "a";
  const layers = { a: makeLayer(), b: makeLayer() };
  const flipper = h("button", { type: "button", class: "frame flip", title: "Flip. Keys: f or space", onclick: flip }, layers.a.picture, layers.b.picture);
  const names = h("div", { class: "names" });

  function makeLayer() {
    return { picture: h("img", { alt: "", class: "grid" }), run: null };
  }

  function pair() {
    const candidates = app.filtered.filter((run) => run.grids.length);
    const chosen = app.chosenRuns().filter((run) => run.grids.length);
    const given = (key) => candidates.find((run) => run.id === state.get(key));
    const a = given("a") ?? chosen[0] ?? candidates[0];
    const others = [...chosen, ...candidates].filter((run) => run !== a);
    const b = given("b") ?? others.find((run) => run.seed === a?.seed) ?? others[0]; // at best with the same latents
    return { candidates, a, b };
  }

  function update() {
    const { candidates, a, b } = pair();
    if (!a || !b) {
      pickers.replaceChildren();
      stage.replaceChildren(empty("Two runs with samples are needed."));
      return;
    }
    pickers.replaceChildren(picker("A", "a", a, candidates), picker("B", "b", b, candidates));
    const steps = stepsOf([a, b]);
    time.show(steps, state.get("step"));
    notes.replaceChildren(...differences(a, b).map((text) => h("p", { class: "hint" }, text)));
    if (!stage.contains(flipper)) stage.replaceChildren(names, flipper);
    for (const [name, run] of Object.entries({ a, b })) show(layers[name], run);
    preload(app, [a, b], steps, time.step());
    drawSide();
  }

  async function show(layer, run) {
    layer.run = run;
    const found = gridAt(run, time.step());
    layer.step = found?.[0];
    if (!found) {
      layer.picture.removeAttribute("src");
      return;
    }
    const url = app.source.grid(run, found);
    layer.picture.alt = `Samples of ${run.name} at g_step ${found[0]}`;
    await loadPicture(url).catch(() => null);
    if (layer.run === run && layer.step === found[0] && layer.picture.getAttribute("src") !== url) layer.picture.src = url;
  }

  function drawSide() {
    for (const [name, { picture }] of Object.entries(layers)) picture.classList.toggle("hidden", name !== side);
    names.replaceChildren(
      ...Object.entries(layers).map(([name, { run, step }]) =>
        h("span", { class: name === side ? "now" : "" }, tag(run, colourOf(run.id) ?? "var(--quiet)", `${name.toUpperCase()}  ${run.name}`),
          h("small", {}, step === undefined ? " not begun" : ` g_step ${formatCount(step)}`)),
      ),
      h("button", { type: "button", onclick: flip }, "Flip ", h("kbd", {}, "f")),
    );
  }

  function flip() {
    side = side === "a" ? "b" : "a";
    drawSide();
  }

  function picker(label, key, run, candidates) {
    const select = h(
      "select",
      { "aria-label": `Run ${label}`, onchange: () => state.set({ [key]: select.value }) },
      candidates.map((each) => h("option", { value: each.id, selected: each === run }, each.title)),
    );
    return h("label", { class: "field" }, h("span", {}, label), select);
  }

  function key(event) {
    const onButton = event.target.closest?.("button, input, select");
    if (event.key === "f" || (event.key === " " && !onButton)) {
      event.preventDefault();
      flip();
    } else time.key(event);
  }

  return { update, key, destroy: () => time.destroy() };
}

/** Says where the two grids are not drawn from the same latents. */
function differences(a, b) {
  const keys = ["seed", "model.latent_dim", "samples.num", "data.num_classes"];
  const unlike = keys.filter((key) => JSON.stringify(a.settings.get(key)) !== JSON.stringify(b.settings.get(key)));
  return unlike.length ? [`Not the same latents: the runs differ in ${unlike.join(", ")}.`] : [];
}
