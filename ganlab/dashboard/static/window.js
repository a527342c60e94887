// Long lists and tables: only the rows in sight are elements.

/**
 * Keeps `body` filled with the rows that can be seen in `scroller`.
 *
 * @param scroller the element that scrolls
 * @param body gets the rows, between two spacers
 * @param rowHeight of every row, in pixels
 * @param spacer makes an element of a height: `(pixels) => element`
 * @param build makes the element of a row: `(item, index) => element`
 */
export function windowed({ scroller, body, rowHeight, spacer, build }) {
  let items = [];
  let shown = "";
  const margin = 8;

  function draw(force) {
    const height = scroller.clientHeight || 800;
    const first = Math.max(0, Math.floor(scroller.scrollTop / rowHeight) - margin);
    const last = Math.min(items.length, Math.ceil((scroller.scrollTop + height) / rowHeight) + margin);
    const range = `${first}-${last}`;
    if (!force && range === shown) return;
    shown = range;
    const focused = document.activeElement?.closest("[data-key]")?.dataset.key;
    const part = document.activeElement?.dataset?.part;
    const within = body.contains(document.activeElement);
    body.replaceChildren(
      spacer(first * rowHeight),
      ...items.slice(first, last).map((item, index) => build(item, first + index)),
      spacer((items.length - last) * rowHeight),
    );
    if (within && focused) find(focused, part)?.focus({ preventScroll: true });
  }

  function find(key, part) {
    const row = body.querySelector(`[data-key="${CSS.escape(key)}"]`);
    return part ? row?.querySelector(`[data-part="${CSS.escape(part)}"]`) : (row?.querySelector("input, button") ?? row);
  }

  let waiting = false;
  scroller.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw(false);
    });
  });
  new ResizeObserver(() => draw(false)).observe(scroller);

  return {
    show(list) {
      items = list;
      draw(true);
    },
    /** Brings a row into sight and gives it the focus. */
    focus(index) {
      if (index < 0 || index >= items.length) return;
      const top = index * rowHeight;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      const height = scroller.clientHeight;
      if (top + rowHeight > scroller.scrollTop + height) scroller.scrollTop = top + rowHeight - height;
      draw(true);
      find(items[index].key)?.focus({ preventScroll: true });
    },
  };
}
