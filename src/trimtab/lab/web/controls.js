// What can be turned: sliders and menus with their values beside them, and the state of all in the address.
import { element, tableFile } from "./element.js";
import { short } from "./plane.js";
import { asked } from "./stream.js";

const PARTS = 1000;

const toValue = (control, place) => {
  const share = place / PARTS;
  const value = control.scale === "log"
    ? control.low * (control.high / control.low) ** share
    : control.low + share * (control.high - control.low);
  return control.whole ? Math.round(value) : Number(value.toPrecision(3));
};
const toPlace = (control, value) => Math.round(PARTS * (control.scale === "log"
  ? Math.log(value / control.low) / Math.log(control.high / control.low)
  : (value - control.low) / (control.high - control.low)));

// The value one press of an arrow away: the next whole number, a fiftieth of the span as a round number, or, by factors, a
// fiftieth of the way. A mouse moves more finely.
const PRESSES = 50;
const pressed = (control, value, way) => {
  const span = control.high - control.low;
  if (control.scale === "log") {
    const by = value * ((control.high / control.low) ** (way / PRESSES) - 1);
    value += control.whole ? way * Math.max(1, Math.round(Math.abs(by))) : by;
  } else {
    const step = control.whole ? Math.max(1, Math.round(span / 100)) : [1, 2, 5, 10].map(part => part * 10 ** Math.floor(Math.log10(span / PRESSES))).find(part => part >= span / PRESSES * 0.999);
    value = Math.round((value + way * step) / step) * step;
  }
  value = Math.max(control.low, Math.min(control.high, value));
  return control.whole ? Math.round(value) : Number(value.toPrecision(3));
};
const WAYS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

// Controls of a chapter; `changed(name)` is told of every move. `show(name)` has one show a value that something else
// has set, `useful(name, is)` says whether turning one has an effect.
export function drawn(chapter, values, changed) {
  const box = element("div", { class: "controls", role: "group", "aria-label": "Controls" }), shows = {};
  const show = name => shows[name]?.();
  const useful = (name, is) => { const input = box.querySelector(`#control-${name}`); if (input) input.disabled = !is; };
  for (const control of chapter.controls) {
    if (control.kind === "points") continue;
    if (control.kind === "cloud") {
      box.append(table(control, values, name => { show(control.menu); changed(name); }));
      continue;
    }
    const id = `control-${control.name}`;
    const output = element("output", { for: id });
    const hint = element("p", { class: "hint", id: `${id}-hint` }, control.hint);
    let input;
    if (control.kind === "slider") {
      input = element("input", { type: "range", id, min: 0, max: PARTS, step: 1, "aria-describedby": `${id}-hint` });
      const told = () => {
        output.textContent = short(values[control.name]);
        input.setAttribute("aria-valuetext", short(values[control.name]));
      };
      shows[control.name] = () => { input.value = toPlace(control, values[control.name]); told(); };
      show(control.name);
      const moved = now => {
        if (now === values[control.name]) return;
        values[control.name] = now;
        told();
        changed(control.name);
      };
      input.addEventListener("input", () => moved(toValue(control, Number(input.value))));
      input.addEventListener("keydown", event => {
        if (!(event.key in WAYS) || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        moved(pressed(control, values[control.name], WAYS[event.key]));
        shows[control.name]();
      });
    } else {
      input = element(
        "select", { id, "aria-describedby": `${id}-hint` },
        control.options.map(([name, words]) => element("option", { value: name, selected: name === values[control.name] }, words)),
      );
      shows[control.name] = () => { input.value = values[control.name]; };
      input.addEventListener("change", () => { values[control.name] = input.value; changed(control.name); });
    }
    box.append(element("div", { class: "control" }, element("label", { for: id }, control.label, output), input, hint));
  }
  return { box, show, useful };
}

// What was said of the table whose rows are drawn: rows that came by a link have no names.
let known = { points: null, said: "", columns: [] };
const isKnown = points => known.points !== null && JSON.stringify(points) === JSON.stringify(known.points);
export const namesOf = points => isKnown(points) ? known.columns : ["first column", "second column"];

// A table of one's own, of which the lab makes points: its menu is then set to them.
function table(control, values, changed) {
  const id = `control-${control.name}`;
  const file = tableFile(id, { "aria-describedby": `${id}-hint` });
  const rows = values[control.name];
  const told = element("p", { class: "hint", role: "status" }, isKnown(rows) ? known.said : rows.length ? `${rows.length} rows.` : "");
  file.addEventListener("change", async () => {
    const given = file.files[0];
    file.value = "";  // the same file may be chosen again
    if (!given) return;
    told.className = "hint";
    told.textContent = `${given.name} is being read.`;
    try {
      const found = await (await asked(`/points?name=${encodeURIComponent(given.name)}`, given)).json();
      values[control.name] = found.points;
      values[control.menu] = control.name;
      known = { points: found.points, columns: found.columns, said: `${given.name}: ${found.said}` };
      told.textContent = known.said;
      changed(control.name);
    } catch (error) { told.className = "error"; told.textContent = error.message; }
  });
  return element("div", { class: "control" }, element("span", { class: "called" }, control.label),
    element("label", { for: id, class: "button" }, "Choose a file"), file,
    element("p", { class: "hint", id: `${id}-hint` }, control.hint), told);
}

// The values of a chapter as the address has them, and the usual ones in the place of what it has not.
export function fromAddress(chapter, query) {
  const given = new URLSearchParams(query), values = {};
  for (const control of chapter.controls) {
    const isOfPoints = control.kind === "points" || control.kind === "cloud";
    values[control.name] = isOfPoints ? control.usual.map(point => [...point]) : control.usual;
    const text = given.get(control.name);
    if (text === null) continue;
    if (control.kind === "menu") {
      if (control.options.some(([name]) => name === text)) values[control.name] = text;
    } else if (control.kind === "slider") {
      const number = Number(text);
      if (text !== "" && number >= control.low && number <= control.high) values[control.name] = number;
    } else {
      const points = text.split(";").map(point => point.split(",").map(Number)), numbers = control.kind === "points" ? 2 : 3;
      if (points.length > 1 && points.every(each => each.length === numbers && each.every(Number.isFinite))) values[control.name] = points;
    }
  }
  return values;
}

export function toAddress(chapter, values) {
  const told = new URLSearchParams();
  for (const control of chapter.controls) {
    if (JSON.stringify(values[control.name]) === JSON.stringify(control.usual)) continue;
    const value = values[control.name];
    told.set(control.name, Array.isArray(value) ? value.map(point => point.join(",")).join(";") : value);
  }
  const text = told.toString();
  return `#${chapter.name}${text ? `?${text}` : ""}`;
}
