// What the watchdog has said of the runs, and what could not be read of them.

import { colourOf } from "../colours.js";
import { empty, h, tag } from "../elements.js";
import { formatAge, formatCount } from "../format.js";
import * as state from "../state.js";

const maxRuns = 100;

export function healthView(root, app) {
  const bar = h("div", { class: "bar" });
  const body = h("div", { class: "health" });
  root.append(bar, body);

  function update() {
    const troubled = app.filtered
      .map((run) => ({ run, messages: messagesOf(run) }))
      .filter(({ messages }) => messages.length)
      .sort((a, b) => app.chosen.includes(b.run.id) - app.chosen.includes(a.run.id));
    const well = app.filtered.length - troubled.length;
    bar.replaceChildren(h("span", { class: "hint" }, `${troubled.length} of ${app.filtered.length} runs have something to say; ${well} look well`));
    body.replaceChildren(
      ...troubled.slice(0, maxRuns).map(({ run, messages }) =>
        h("section", { class: "card" },
          h("header", {}, tag(run, colourOf(run.id) ?? "var(--line)"), h("i", { class: `status ${run.status}` }), h("small", {}, run.status),
            run.grids.length ? h("button", { type: "button", class: "quiet", onclick: () => state.set({ view: "samples", runs: run.id }) }, "samples") : ""),
          h("ol", {}, messages.map(({ step, kind, text }) =>
            h("li", {}, h("span", { class: "at" }, step === undefined ? "" : `g_step ${formatCount(step)}`), h("b", {}, kind), h("span", {}, text)))),
        ),
      ),
    );
    if (!troubled.length) body.replaceChildren(empty("No warnings.", "The watchdog looks for collapse, a discriminator that wins, and scores that fall."));
  }

  return { update };
}

function messagesOf(run) {
  const age = Date.now() / 1000 - run.written;
  return [
    ...run.faults.map((text) => ({ kind: "cannot be read", text })),
    ...(run.facts.error ? [{ step: run.g_steps, kind: run.status, text: String(run.facts.error) }] : []),
    ...(run.status === "silent" ? [{ kind: "silent", text: `said to be running, but nothing has been written for ${formatAge(age)}` }] : []),
    ...run.warnings.map((each) => ({ step: Number(each.g_step), kind: String(each.kind ?? ""), text: String(each.message ?? "") })),
  ];
}
