// Elements of the page. Texts become text nodes, never markup, whoever wrote them.

/** Makes an element: `h("button", { class: "quiet", onclick: act }, "Text", child)`; null children are left out. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same in SVG. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "colour") element.style.setProperty("--colour", value);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A drop-down of `[value, text]` pairs, or of values that are their own texts. */
export function choice(label, options, value, choose) {
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  if (!pairs.some(([each]) => each === value)) pairs.unshift([value, value || "—"]);
  const select = h(
    "select",
    { "aria-label": label, onchange: () => choose(select.value) },
    pairs.map(([each, text]) => h("option", { value: each, selected: each === value }, text)),
  );
  return h("label", { class: "field" }, h("span", {}, label), select);
}

/** Buttons of which one is pressed. */
export function switcher(label, options, value, choose) {
  return h(
    "div",
    { class: "switcher", role: "group", "aria-label": label },
    options.map(([each, text]) =>
      h("button", { type: "button", "aria-pressed": String(each === value), onclick: () => choose(each) }, text),
    ),
  );
}

/** A run's name with its colour. */
export function tag(run, colour, text = run.title, detail = "") {
  return h(
    "span",
    { class: "tag", title: run.place },
    h("i", { class: "dot", colour }),
    h("span", {}, text, detail ? h("small", {}, detail) : null),
  );
}

/** What a view says where it has nothing to show. */
export function empty(...lines) {
  return h("div", { class: "empty" }, lines.map((line) => h("p", {}, line)));
}
