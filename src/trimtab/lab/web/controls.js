// What can be turned: sliders and menus with their values beside them, and the state of all in the address.
import { element } from "./element.js";
import { short } from "./plane.js";

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

// Controls of a chapter; `changed(name)` is told of every move.
export function drawn(chapter, values, changed) {
  const made = element("div", { class: "controls", role: "group", "aria-label": "Controls" });
  for (const control of chapter.controls) {
    if (control.kind === "points") continue;
    const id = `control-${control.name}`;
    const output = element("output", { for: id });
    const hint = element("p", { class: "hint", id: `${id}-hint` }, control.hint);
    let input;
    if (control.kind === "slider") {
      input = element("input", { type: "range", id, min: 0, max: PARTS, step: 1, "aria-describedby": `${id}-hint` });
      const show = () => {
        output.textContent = short(values[control.name]);
        input.setAttribute("aria-valuetext", short(values[control.name]));
      };
      input.value = toPlace(control, values[control.name]);
      show();
      input.addEventListener("input", () => {
        const now = toValue(control, Number(input.value));
        if (now === values[control.name]) return;
        values[control.name] = now;
        show();
        changed(control.name);
      });
    } else {
      input = element(
        "select", { id, "aria-describedby": `${id}-hint` },
        control.options.map(([name, words]) => element("option", { value: name, selected: name === values[control.name] }, words)),
      );
      input.addEventListener("change", () => { values[control.name] = input.value; changed(control.name); });
    }
    made.append(element("div", { class: "control" }, element("label", { for: id }, control.label, output), input, hint));
  }
  return made;
}

// The values of a chapter as the address has them, and the usual ones in the place of what it has not.
export function fromAddress(chapter, query) {
  const given = new URLSearchParams(query), values = {};
  for (const control of chapter.controls) {
    values[control.name] = control.kind === "points" ? control.usual.map(point => [...point]) : control.usual;
    const text = given.get(control.name);
    if (text === null) continue;
    if (control.kind === "menu") {
      if (control.options.some(([name]) => name === text)) values[control.name] = text;
    } else if (control.kind === "slider") {
      const number = Number(text);
      if (text !== "" && number >= control.low && number <= control.high) values[control.name] = number;
    } else {
      const points = text.split(";").map(point => point.split(",").map(Number));
      if (points.length > 1 && points.every(each => each.length === 2 && each.every(Number.isFinite))) values[control.name] = points;
    }
  }
  return values;
}

export function toAddress(chapter, values) {
  const told = new URLSearchParams();
  for (const control of chapter.controls) {
    if (JSON.stringify(values[control.name]) === JSON.stringify(control.usual)) continue;
    const value = values[control.name];
    told.set(control.name, control.kind === "points" ? value.map(point => point.join(",")).join(";") : value);
  }
  const text = told.toString();
  return `#${chapter.name}${text ? `?${text}` : ""}`;
}
