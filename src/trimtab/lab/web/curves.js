// Many curves that grow: uPlot with the names and colours of the lab.
import uPlot from "./uplot.js";
import { colour, short } from "./plane.js";

export class Curves {
  // `series` are [label, colour function, width, dash]; `log` is whether the vertical axis goes by factors.
  constructor({ series, xName, yName, label, height = 300, log = true, hooks = {} }) {
    this.box = document.createElement("div");
    this.box.setAttribute("role", "img");
    this.box.setAttribute("aria-label", label);
    this.data = [[], ...series.map(() => [])];
    const axis = () => ({
      stroke: () => colour("soft"), grid: { stroke: () => colour("grid"), width: 1 }, ticks: { show: false },
      font: "11.5px system-ui, sans-serif", labelFont: "11.5px system-ui, sans-serif", labelSize: 18, labelGap: 0, gap: 4,
    });
    this.plot = new uPlot({
      width: 400, height, cursor: { drag: { x: false, y: false }, points: { show: false } }, legend: { show: false },
      scales: { x: { time: false }, y: log ? { distr: 3 } : {} },
      axes: [{ ...axis(), label: xName, size: 26 }, {
        ...axis(), label: yName, size: 54, values: (_, ticks) => ticks.map(tick => tick === null ? "" : short(tick)),
      }],
      series: [{}, ...series.map(([name, stroke, width = 1.5, dash]) => ({
        label: name, stroke, width, dash, points: { show: false }, spanGaps: false,
      }))],
      hooks,
    }, this.data, this.box);
    new ResizeObserver(() => this.sized()).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plot.redraw());
    this.height = height;
    this.isLog = log;
    this.wanted = false;
  }

  sized() {
    const width = this.box.clientWidth;
    if (width && width !== this.plot.width) this.plot.setSize({ width, height: this.height });
  }

  add(x, ys) {
    this.data[0].push(x);
    ys.forEach((y, place) => this.data[place + 1].push(y !== null && (y > 0 || !this.isLog) ? y : null));
    this.redraw();
  }

  clear() {
    this.data = this.data.map(() => []);
    this.redraw();
  }

  redraw() {
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => { this.wanted = false; this.plot.setData(this.data); });
  }
}
