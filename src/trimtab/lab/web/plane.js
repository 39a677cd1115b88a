// A plane: one canvas with two axes, on which points, lines and surfaces are drawn, and points can be moved.

export const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Six hues that can be told apart in light and dark, and by those who see fewer colours [after Okabe and Ito 2008].
const HUES = ["#0072b2", "#d55e00", "#009e73", "#b35a90", "#30343a", "#6d3fb4"];
const HUES_DARK = ["#56b4e9", "#f08a4b", "#3fd0a4", "#e09ac4", "#ffffff", "#e6ee6a"];
export const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
export const hue = place => (isDark() ? HUES_DARK : HUES)[place % HUES.length];

// A scale from low (0) to high (1), which gets lighter (in dark: darker) evenly.
export function shade(share) {
  const s = Math.max(0, Math.min(1, share));
  const stops = isDark()
    ? [[20, 60, 95], [38, 100, 130], [70, 120, 120], [105, 95, 75], [70, 50, 45]]
    : [[24, 88, 140], [86, 152, 190], [178, 208, 214], [240, 222, 188], [226, 170, 120]];
  const at = s * (stops.length - 1), first = Math.min(stops.length - 2, Math.floor(at)), part = at - first;
  return stops[first].map((low, i) => Math.round(low + part * (stops[first + 1][i] - low)));
}

const nice = span => {
  const power = 10 ** Math.floor(Math.log10(span / 7));
  return [1, 2, 5, 10].map(step => step * power).find(step => span / step <= 7) ?? 10 * power;
};

// A hyphen would let a line end within a number; a minus does not.
export const short = number => {
  if (number === null || number === undefined || !Number.isFinite(number)) return "none";
  if (number === 0) return "0";
  const size = Math.abs(number);
  return size >= 1e5 || size < 1e-3 ? number.toExponential(2).replace("e-", "e\u2212") : String(Number(number.toPrecision(4)));
};

export class Plane {
  // Where an axis goes by factors (`powers`), its ends are powers of ten.
  constructor({ x, y, xName = "", yName = "", label, height = 300, square = false, powers = false }) {
    Object.assign(this, { x, y, xName, yName, height, square, powers });
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.canvas.className = "still";
    this.draw = () => {};
    this.wanted = false;
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  // Draw again before the next picture of the screen, once, however often it is asked for.
  redraw() {
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => { this.wanted = false; this.paint(); });
  }

  paint() {
    const width = this.canvas.clientWidth;
    if (!width) return;
    const height = this.square ? Math.min(width, 430) : this.height, ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    this.box = { left: 44, top: 8, right: width - 8, bottom: height - 34 };
    const pen = this.pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.axes();
    pen.save();
    pen.beginPath();
    pen.rect(this.box.left, this.box.top, this.box.right - this.box.left, this.box.bottom - this.box.top);
    pen.clip();
    this.draw(this);
    pen.restore();
  }

  px(x) { return this.box.left + (x - this.x[0]) / (this.x[1] - this.x[0]) * (this.box.right - this.box.left); }
  py(y) { return this.box.bottom - (y - this.y[0]) / (this.y[1] - this.y[0]) * (this.box.bottom - this.box.top); }
  at(event) {
    const spot = this.canvas.getBoundingClientRect();
    const share = (event.clientX - spot.left - this.box.left) / (this.box.right - this.box.left);
    const rise = (this.box.bottom - (event.clientY - spot.top)) / (this.box.bottom - this.box.top);
    return [this.x[0] + share * (this.x[1] - this.x[0]), this.y[0] + rise * (this.y[1] - this.y[0])];
  }

  axes() {
    const { pen, box } = this;
    pen.font = "11.5px system-ui, sans-serif";
    pen.fillStyle = colour("soft");
    pen.strokeStyle = colour("grid");
    pen.lineWidth = 1;
    const step = ([low, high]) => this.powers ? 1 : nice(high - low);
    const text = value => short(this.powers ? 10 ** Math.round(value) : Number(value.toFixed(9)));
    const xStep = step(this.x), yStep = step(this.y);
    pen.textAlign = "center";
    for (let x = Math.ceil(this.x[0] / xStep) * xStep; x <= this.x[1] + 1e-9; x += xStep) {
      pen.beginPath(); pen.moveTo(this.px(x), box.top); pen.lineTo(this.px(x), box.bottom); pen.stroke();
      pen.fillText(text(x), this.px(x), box.bottom + 14);
    }
    pen.textAlign = "right";
    for (let y = Math.ceil(this.y[0] / yStep) * yStep; y <= this.y[1] + 1e-9; y += yStep) {
      pen.beginPath(); pen.moveTo(box.left, this.py(y)); pen.lineTo(box.right, this.py(y)); pen.stroke();
      pen.fillText(text(y), box.left - 5, this.py(y) + 4);
    }
    pen.textAlign = "center";
    pen.fillText(this.xName, (box.left + box.right) / 2, box.bottom + 29);
    pen.save();
    pen.translate(10, (box.top + box.bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(this.yName, 0, 0);
    pen.restore();
  }

  line(xs, ys, stroke, width = 2, dash = []) {
    const { pen } = this;
    pen.strokeStyle = stroke;
    pen.lineWidth = width;
    pen.setLineDash(dash);
    pen.lineJoin = "round";
    pen.beginPath();
    let isDown = false;
    xs.forEach((x, i) => {
      if (ys[i] === null || ys[i] === undefined || x === null) { isDown = false; return; }
      const spot = [this.px(x), Math.max(-1e4, Math.min(1e4, this.py(ys[i])))];
      if (isDown) pen.lineTo(...spot); else pen.moveTo(...spot);
      isDown = true;
    });
    pen.stroke();
    pen.setLineDash([]);
  }

  dot(x, y, fill, radius = 4, ring = colour("card")) {
    const { pen } = this;
    pen.beginPath();
    pen.arc(this.px(x), this.py(y), radius, 0, 2 * Math.PI);
    pen.fillStyle = fill;
    pen.fill();
    pen.lineWidth = 1.2;
    pen.strokeStyle = ring;
    pen.stroke();
  }

  cross(x, y, stroke, size = 6) {
    const { pen } = this;
    const [a, b] = [this.px(x), this.py(y)];
    pen.strokeStyle = stroke;
    pen.lineWidth = 2.2;
    pen.beginPath();
    pen.moveTo(a - size, b); pen.lineTo(a + size, b); pen.moveTo(a, b - size); pen.lineTo(a, b + size);
    pen.stroke();
  }

  // Shares between 0 and 1, row by row from the bottom, over the whole plane.
  surface(shares, cells, paint = shade) {
    const small = document.createElement("canvas");
    small.width = small.height = cells;
    const pen = small.getContext("2d"), image = pen.createImageData(cells, cells);
    shares.forEach((share, i) => {
      const row = cells - 1 - Math.floor(i / cells), place = 4 * (row * cells + i % cells);
      const [r, g, b] = paint(share);
      image.data.set([r, g, b, 255], place);
    });
    pen.putImageData(image, 0, 0);
    this.pen.imageSmoothingEnabled = true;
    // Values stand at the middle of cells, the outermost on the border of the plane.
    const [w, h] = [(this.box.right - this.box.left) / (cells - 1), (this.box.bottom - this.box.top) / (cells - 1)];
    this.pen.drawImage(small, this.box.left - w / 2, this.box.top - h / 2, w * cells, h * cells);
  }
}

// Let points be moved, added and taken away, with the pointer and with the keyboard; `changed` is told of all of them.
export function movable(plane, read, changed) {
  const { canvas } = plane;
  canvas.className = "";
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  let held = -1;
  plane.chosen = -1;
  const fit = ([x, y]) => [
    Number(Math.max(plane.x[0], Math.min(plane.x[1], x)).toFixed(2)),
    Number(Math.max(plane.y[0], Math.min(plane.y[1], y)).toFixed(2)),
  ];
  const near = spot => {
    const points = read();
    const far = points.map(([x, y]) => Math.hypot(plane.px(x) - plane.px(spot[0]), plane.py(y) - plane.py(spot[1])));
    const place = far.indexOf(Math.min(...far));
    return far[place] < 14 ? place : -1;
  };
  const moved = (place, spot) => changed(read().map((point, i) => i === place ? fit(spot) : point));
  canvas.addEventListener("pointerdown", event => {
    const spot = plane.at(event);
    held = near(spot);
    canvas.setPointerCapture(event.pointerId);
    if (held < 0) { held = read().length; changed([...read(), fit(spot)]); }
    plane.chosen = held;
  });
  canvas.addEventListener("pointermove", event => { if (held >= 0) moved(held, plane.at(event)); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = -1; });
  canvas.addEventListener("dblclick", event => {
    const place = near(plane.at(event));
    if (place >= 0 && read().length > 2) changed(read().filter((_, i) => i !== place));
  });
  canvas.addEventListener("keydown", event => {
    const points = read(), count = points.length;
    const step = [(plane.x[1] - plane.x[0]) / 50, (plane.y[1] - plane.y[0]) / 50];
    const moves = { ArrowLeft: [-step[0], 0], ArrowRight: [step[0], 0], ArrowUp: [0, step[1]], ArrowDown: [0, -step[1]] };
    if (event.key === "n" || event.key === "p") {
      plane.chosen = (plane.chosen + (event.key === "n" ? 1 : count - 1) + count) % count;
      plane.redraw();
    } else if (event.key in moves && plane.chosen >= 0 && plane.chosen < count) {
      const [x, y] = points[plane.chosen], [dx, dy] = moves[event.key];
      moved(plane.chosen, [x + dx, y + dy]);
    } else if (event.key === "a") {
      plane.chosen = count;
      changed([...points, fit([(plane.x[0] + plane.x[1]) / 2, (plane.y[0] + plane.y[1]) / 2])]);
    } else if ((event.key === "Delete" || event.key === "Backspace") && plane.chosen >= 0 && count > 2) {
      changed(points.filter((_, i) => i !== plane.chosen));
      plane.chosen = Math.min(plane.chosen, count - 2);
    } else return;
    event.preventDefault();
  });
}

// Let a part of the x axis be painted with the pointer; `changed` is told its ends, the lower first. Who has none turns
// the same by sliders.
export function painted(plane, changed, [low, high] = [-1, 1]) {
  let from = null;
  const at = event => Number(Math.max(low, Math.min(high, plane.at(event)[0])).toFixed(2));
  plane.canvas.classList.add("paint");
  plane.canvas.addEventListener("pointerdown", event => {
    from = at(event);
    plane.canvas.setPointerCapture(event.pointerId);
  });
  plane.canvas.addEventListener("pointermove", event => {
    if (from === null) return;
    const to = at(event);
    if (Math.abs(to - from) >= 0.1) changed([Math.min(from, to), Math.max(from, to)]);
  });
  for (const end of ["pointerup", "pointercancel"]) plane.canvas.addEventListener(end, () => { from = null; });
}
