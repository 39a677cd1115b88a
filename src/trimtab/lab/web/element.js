// Elements by tag, what they have and what they hold; text is always text.
export function element(tag, given = {}, ...held) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...held.flat().filter(each => each !== null && each !== undefined));
  return made;
}

export const figure = (title, body, caption = "", wide = false) => element(
  "figure", { class: wide ? "wide" : null }, element("h2", {}, title), body, element("figcaption", {}, caption),
);

// A way to choose a table, of a kind that can be read, hidden behind a label of its own.
export const tableFile = (id, given = {}) => element("input", { type: "file", id, class: "unseen", accept: ".csv,.tsv,.txt,.parquet,.xlsx", ...given });

// What is drawn how: each entry is [words, colour, shape], where the shape is that of the drawing: "line" (unless another
// is given), "dashed", "dot" or "plus".
export const key = entries => element(
  "ul", { class: "key" }, entries.map(([words, stroke, shape = "line"]) => {
    const mark = element("i", { "aria-hidden": "true", class: shape });
    mark.style[shape === "line" ? "background" : "color"] = stroke;
    return element("li", {}, mark, words);
  }),
);

// The same with boxes to tick: those that are not ticked are in `hidden`, by place, and `changed` is told which was turned.
export const ticks = (entries, hidden, changed) => element("ul", { class: "key" }, entries.map(([words, stroke, shape = "line"], i) => {
  const mark = element("i", { "aria-hidden": "true", class: shape }), tick = element("input", { type: "checkbox", checked: !hidden.has(i) });
  mark.style[shape === "line" ? "background" : "color"] = stroke;
  tick.addEventListener("change", () => {
    if (tick.checked) hidden.delete(i); else hidden.add(i);
    changed(i, tick.checked);
  });
  return element("li", {}, element("label", {}, tick, mark, words));
}));
