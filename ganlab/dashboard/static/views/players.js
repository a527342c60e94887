// What is played or read beside a grid: sound, films and texts of the same samples, at the same moment.

import { h } from "../elements.js";

const roles = { asked: "asked", target: "wanted" };

/** Players of one run. `show` keeps those that play: at another moment they go on where they are. */
export function players(app) {
  const root = h("div", { class: "players", hidden: true });
  let elements = new Map();

  function show(run, grid) {
    const names = (grid && run.recordings.get(grid[0])) ?? [];
    root.hidden = !names.length;
    if (names.join() !== [...elements.keys()].join()) {
      stop();
      elements = new Map(names.map((name) => [name, make(name)]));
      root.replaceChildren(...rowsOf(names).map((row) => h("div", { class: "played" }, row.map((name) => labelled(name)))));
    }
    for (const [name, element] of elements) set(element, app.source.recording(run, grid, name), `${run.name}, ${titleOf(name)}`);
  }

  function labelled(name) {
    return h("figure", {}, h("figcaption", {}, titleOf(name)), elements.get(name));
  }

  function set(element, url, label) {
    element.setAttribute("aria-label", label);
    if (element.tagName === "PRE") read(element, url);
    else if (element.tagName === "IMG") element.src = url;
    else if (element.dataset.url !== url) {
      const { currentTime, paused } = element;
      element.dataset.url = url;
      element.src = url;
      if (!paused) goOn(element, currentTime);
    }
  }

  async function read(element, url) {
    if (element.dataset.url === url) return;
    element.dataset.url = url;
    const text = await app.source.text(url).catch((error) => `cannot be read: ${error.message}`);
    if (element.dataset.url === url) element.textContent = text;
  }

  /** An element that is taken from the page would go on playing. */
  function stop() {
    for (const element of elements.values()) element.pause?.();
  }

  return { root, show, stop };
}

function goOn(element, time) {
  const there = () => (element.currentTime = time < element.duration ? time : 0);
  element.addEventListener("loadedmetadata", there, { once: true });
  element.play().catch(() => null); // the browser may refuse what nobody has clicked
}

function make(name) {
  const kind = name.split(".").at(-1);
  if (kind === "wav") return h("audio", { controls: true, preload: "none", onplay: playAlone });
  if (kind === "mp4") return h("video", { controls: true, preload: "metadata", loop: true, playsinline: true });
  if (kind === "gif") return h("img", { alt: "" });
  return h("pre", { tabindex: "0" });
}

/** Sounds of several runs are compared one after the other. */
function playAlone(event) {
  for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
}

/** Files of one sample belong together: `000-asked.wav`, `000.wav`, `000-target.wav`, in this order. */
function rowsOf(names) {
  const rows = new Map();
  for (const name of names) {
    const place = name.slice(0, 3);
    rows.set(place, [...(rows.get(place) ?? []), name]);
  }
  const order = (name) => (name.includes("-asked") ? 0 : name.includes("-target") ? 2 : 1);
  return [...rows.values()].map((row) => row.sort((a, b) => order(a) - order(b)));
}

function titleOf(name) {
  const [place, role] = name.replace(/\.\w+$/, "").split("-");
  const title = name.endsWith(".txt") ? "Texts" : `Sample ${Number(place) + 1}`;
  return role ? `${title}, ${roles[role]}` : title;
}
