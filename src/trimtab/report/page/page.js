// Hover, copying, and brushing of runs. Without it the page is text, tables and pictures, all the same.
"use strict";

const tip = document.getElementById("tip");
const said = document.getElementById("said");

// A mark's <title> becomes a label that appears at once; the browser's own would come late, and never by touch.
for (const title of document.querySelectorAll("svg > * > title")) {
  const mark = title.parentElement;
  mark.dataset.tip = title.textContent;
  mark.classList.add("has-tip");
  title.remove();
}

function show(event) {
  const mark = event.target.closest?.("[data-tip]");
  if (!mark) {
    tip.hidden = true;
    return;
  }
  tip.textContent = mark.dataset.tip;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
  const above = event.clientY - box.height - 12;
  tip.style.setProperty("left", `${Math.max(8, left)}px`);
  tip.style.setProperty("top", `${above > 8 ? above : event.clientY + 18}px`);
}
document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);
document.addEventListener("scroll", () => (tip.hidden = true), { passive: true });
document.addEventListener("keydown", (event) => event.key === "Escape" && (tip.hidden = true));

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages opened from a file have no clipboard in some browsers: a selection can always be copied.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function button(name, text) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "copy";
  made.textContent = name;
  made.addEventListener("click", async () => {
    await copy(text());
    made.textContent = "Copied";
    said.textContent = "Copied";
    setTimeout(() => (made.textContent = name), 1500);
  });
  return made;
}

for (const pre of document.querySelectorAll("pre")) {
  pre.after(button("Copy", () => pre.textContent));
}
for (const table of document.querySelectorAll("table")) {
  const rows = () => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent).join("\t"));
  table.parentElement.after(button("Copy the table", () => rows().join("\n")));
}

// A stretch of one knob, dragged over in its small picture, dims every run outside it wherever runs are drawn.
function brush(figure) {
  const runs = () => document.querySelectorAll("[data-run]");
  for (const svg of figure.querySelectorAll("svg")) {
    for (const plate of svg.querySelectorAll(".plate")) {
      const box = { left: +plate.getAttribute("x"), top: +plate.getAttribute("y") };
      box.right = box.left + +plate.getAttribute("width");
      box.bottom = box.top + +plate.getAttribute("height");
      const inside = [...svg.querySelectorAll("[data-run]")].filter((dot) => {
        const [x, y] = [+dot.getAttribute("cx"), +dot.getAttribute("cy")];
        return x >= box.left - 1 && x <= box.right + 1 && y >= box.top - 6 && y <= box.bottom + 6;
      });
      plate.classList.add("live");
      let start = null;
      let mark = null;
      const place = (event) => {
        const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        return Math.min(Math.max(point.x, box.left), box.right);
      };
      const choose = (low, high) => {
        const chosen = new Set();
        for (const dot of inside) {
          const x = +dot.getAttribute("cx");
          if (x >= low && x <= high) chosen.add(dot.dataset.run);
        }
        for (const each of runs()) each.classList.toggle("dimmed", chosen.size > 0 && !chosen.has(each.dataset.run));
        said.textContent = chosen.size ? `${chosen.size} runs are shown` : "All runs are shown";
      };
      plate.addEventListener("pointerdown", (event) => {
        start = place(event);
        svg.querySelectorAll(".brush").forEach((old) => old.remove());
        mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        mark.setAttribute("class", "brush");
        mark.setAttribute("pointer-events", "none");
        mark.setAttribute("y", box.top);
        mark.setAttribute("height", box.bottom - box.top);
        plate.after(mark);
        plate.setPointerCapture(event.pointerId);
      });
      plate.addEventListener("pointermove", (event) => {
        if (start === null) return;
        const at = place(event);
        mark.setAttribute("x", Math.min(start, at));
        mark.setAttribute("width", Math.abs(at - start));
        if (Math.abs(at - start) > 3) choose(Math.min(start, at), Math.max(start, at));
      });
      const end = (event) => {
        if (start === null) return;
        if (Math.abs(place(event) - start) <= 3) {
          mark.remove();
          choose(Infinity, -Infinity);
        }
        start = null;
      };
      plate.addEventListener("pointerup", end);
      plate.addEventListener("pointercancel", end);
    }
  }
}
const knobs = document.getElementById("knobs");
if (knobs) brush(knobs);
