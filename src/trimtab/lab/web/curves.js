// Many curves that grow: uPlot with the names and colours of the lab.
import uPlot from "./uplot.js";
import { colour, short } from "./plane.js";

// Where an axis by factors has its numbers: at 1, 2 and 5 of each power of ten where there is room, at powers of ten (at
// every so many, if there are many) where there is little, and at all digits where it spans less than one.
const PIXELS = 20;
// uPlot has no numbers on an axis that goes beyond 1e16: a curve leaves the picture before.
const HIGHEST = 1e12;
const factors = (plot, low, high) => {
  const most = Math.max(2, plot.bbox.height / devicePixelRatio / PIXELS), first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const at = (digits, every = 1) => {
    const found = [];
    for (let power = Math.ceil(first / every) * every; power <= last; power += every) found.push(...digits.map(digit => Number(`${digit}e${power}`)));
    return found.filter(value => value >= low * 0.999 && value <= high * 1.001);
  };
  const some = [at([1, 2, 5]), at([1]), ...[2, 5, 10, 20, 50].map(every => at([1], every))].find(each => each.length <= most) ?? [];
  return some.length > 1 ? some : at([1, 2, 3, 4, 5, 6, 7, 8, 9]).slice(0, most);
};

export class Curves {
  // `series` are [label, colour function, width, dash]; `log` is whether the vertical axis goes by factors. `shown` is what
  // an axis that does not go by factors shows of all numbers from low to high: curves are cut off at its ends.
  constructor({ series, xName, yName, label, height = 300, log = true, shown = (low, high) => [low, high], hooks = {} }) {
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
      scales: { x: { time: false }, y: log ? { distr: 3, range: (_, low, high) => low === null ? [null, null] : uPlot.rangeLog(low, high > HIGHEST && low < HIGHEST ? HIGHEST : high, 10, false) } : { range: (_, low, high) => low === null ? [null, null] : uPlot.rangeNum(...shown(low, high), 0.1, true) } },
      axes: [{ ...axis(), label: xName, size: 26 }, {
        ...axis(), ...(log ? { splits: (plot, _, low, high) => factors(plot, low, high), filter: (_, ticks) => ticks } : {}), label: yName, size: 54, values: (_, ticks) => ticks.map(tick => tick === null ? "" : short(tick).replace(/\.00e\+?/, "e")),
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

  // One curve as another is by now; each goes on by itself.
  copy(from, to) {
    this.data[to + 1] = [...this.data[from + 1]];
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
