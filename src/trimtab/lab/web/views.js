// What each chapter draws of its events.
import { namesOf } from "./controls.js";
import { Curves } from "./curves.js";
import { element, figure, key, ticks } from "./element.js";
import { colour, hue, movable, painted, Plane, shade, short } from "./plane.js";

const evenly = ([low, high], count) => Array.from({ length: count }, (_, i) => low + (high - low) * i / (count - 1));
const spread = values => {
  const known = values.filter(value => value !== null && Number.isFinite(value));
  const low = Math.min(...known), high = Math.max(...known);
  return values.map(value => value === null ? 1 : (value - low) / (high - low || 1));
};
// The median: between the two in the middle where there are as many below as above.
const middle = values => {
  const known = values.filter(value => value !== null).sort((a, b) => a - b), half = known.length / 2;
  return known.length ? (known[Math.ceil(half) - 1] + known[Math.floor(half)]) / 2 : null;
};
// The lower of the two middle ones where there are two: of epochs, one that there was.
const lower = values => values.toSorted((a, b) => a - b)[Math.ceil(values.length / 2) - 1];
// A slider over what has happened, as wide as the curves above it, with the place it is at written beside it.
const track = (id, label, words) => {
  const output = element("output", { for: id });
  const slider = element("input", { type: "range", min: 0, max: 0, value: 0, id, "aria-label": label });
  return {
    box: [element("div", { class: "look" }, element("label", { for: id }, words), output), slider],
    slider,
    tell(text) { output.textContent = text; slider.setAttribute("aria-valuetext", text); },
    // The middle of the thumb moves from 8 pixels after one end to 8 before the other.
    under(plot) {
      slider.style.marginLeft = `${plot.bbox.left / devicePixelRatio - 8}px`;
      slider.style.width = `${plot.bbox.width / devicePixelRatio + 16}px`;
    },
  };
};
const vertical = (plot, at, stroke, dash) => {
  const pen = plot.ctx, x = Math.round(plot.valToPos(at, "x", true));
  pen.save();
  pen.strokeStyle = stroke; pen.lineWidth = 2 * devicePixelRatio; pen.setLineDash(dash);
  pen.beginPath(); pen.moveTo(x, plot.bbox.top); pen.lineTo(x, plot.bbox.top + plot.bbox.height); pen.stroke();
  pen.restore();
};

function line(stage, lab) {
  const points = () => lab.values.points;
  const data = new Plane({ x: [-1.5, 2.5], y: [-3, 7], xName: "x", yName: "y", square: true,
    label: "Points and the line. n and p choose a point, arrow keys move it, a adds one, Delete takes it away." });
  const bowl = new Plane({ x: [-2.5, 5], y: [-2.5, 4.5], xName: "weight", yName: "bias", square: true,
    label: "The loss for each weight and bias, and the way that training takes over it" });
  // `looked` is the step that is drawn; the last one there is where it is -1.
  let path = [], begun = null, looked = -1, playing = null;
  const step = () => looked < 0 ? path.length - 1 : Math.min(looked, path.length - 1);
  const losses = new Curves({ series: [["loss", () => hue(0), 2]], xName: "step", yName: "loss", height: 190, label: "The loss after each step",
    hooks: { draw: [plot => { if (path.length) { vertical(plot, step(), colour("gold"), []); steps.under(plot); } }] } });
  const steps = track("look", "Step that is drawn", "Drag to see an earlier step");
  const play = element("button", { type: "button", onclick: () => { if (playing) halt(); else walk(); } }, "Watch the steps");
  function show() {
    const now = path[step()];
    steps.slider.max = path.length - 1;
    steps.slider.value = step();
    if (now) steps.tell(`step ${step()}: weight ${short(now[0])}, bias ${short(now[1])}, loss ${short(now[2])}`);
    losses.redraw(); data.redraw(); bowl.redraw();
  }
  function halt() { clearInterval(playing); playing = null; play.textContent = "Watch the steps"; }
  // From the first step to the last, slowly enough to follow, and over in ten seconds.
  function walk() {
    looked = 0;
    play.textContent = "Stop";
    playing = setInterval(() => {
      if (!play.isConnected || looked >= path.length - 1) halt(); else { looked += 1; show(); }
    }, Math.min(250, 10_000 / path.length));
    show();
  }
  steps.slider.addEventListener("input", () => { halt(); looked = Number(steps.slider.value); show(); });
  data.draw = plane => {
    const now = path[step()];
    if (now) plane.line(plane.x, plane.x.map(x => now[0] * x + now[1]), hue(0), 2.6);
    // Above the network's, which hides it where it has learnt all there is.
    if (begun?.exact) plane.line(plane.x, plane.x.map(x => begun.exact[0] * x + begun.exact[1]), colour("ink"), 1.5, [6, 6]);
    points().forEach(([x, y], i) => plane.dot(x, y, i === plane.chosen ? colour("gold") : colour("ink"), i === plane.chosen ? 7 : 5));
  };
  bowl.draw = plane => {
    if (!begun) return;
    plane.surface(begun.shares, begun.surface.cells);
    plane.cross(...begun.exact, colour("ink"), 8);
    const way = path.slice(0, step() + 1);
    plane.line(way.map(at => at[0]), way.map(at => at[1]), colour("bad"), 2.2);
    way.forEach(at => { if (at[0] !== null) plane.dot(at[0], at[1], colour("bad"), 2.2, colour("bad")); });
  };
  movable(data, points, now => { lab.changed("points", now); data.redraw(); });
  stage.append(
    figure("What does the network say?", [key([["the network", hue(0)], ["the exact answer", colour("ink"), "dashed"], ["points", colour("ink"), "dot"]]), data.canvas],
      "Drag a point; press on an empty place to add one, twice on a point to take it away."),
    figure("Where on the loss is it?", [key([["the way so far", colour("bad")], ["the exact answer", colour("ink"), "plus"]]), bowl.canvas], "The loss is how wrong a line is. Each place here is one line, its weight and its bias; blue is low, brown is high."),
    figure("How wrong is it after each step?", [losses.box, ...steps.box, play], "Up the axis, equal distances are equal factors. The line marks the step that is drawn.", true),
  );
  return {
    begin(event) {
      event.shares = spread(event.surface.values);
      begun = event;
      halt(); looked = -1;
      path = [event.first];
      losses.clear();
      losses.add(0, [event.first[2]]);
      show();
    },
    frame(event) {
      path.push(event.at);
      losses.add(event.step, [event.at[2]]);
      show();
    },
  };
}

function duration(stage, lab) {
  let begun = null, frames = [], looked = -1, seen = "";
  const data = new Plane({ x: [-1.1, 1.1], y: [-3, 3], xName: "x", yName: "y", label: "The rows, the truth, and what one network has made of them" });
  let curves = null;
  const holder = element("div"), about = element("figcaption", {}, "");
  const fit = element("figcaption", {}, "");
  const epochs = track("look", "Epoch whose fit is drawn", "Drag to see the fit of an earlier epoch"), { slider } = epochs;
  const shown = () => frames[looked < 0 ? frames.length - 1 : Math.min(looked, frames.length - 1)];
  data.draw = plane => {
    if (!begun) return;
    plane.line(begun.grid, begun.truth, colour("soft"), 1.5, [5, 4]);
    begun.x.forEach((x, i) => plane.dot(x, begun.y[i], colour("ink"), 4));
    const now = shown();
    if (now) plane.line(begun.grid, now.fit, hue(0), 2.6);
  };
  // Where patience would have stopped a network: the first epoch that comes so long after its best one.
  function stopped(place) {
    let best = Infinity, at = 0;
    for (const frame of frames) {
      const score = frame.valid[place];
      if (score !== null && score < best) { best = score; at = frame.epoch; }
      if (frame.epoch - at >= lab.values.patience) return { stop: frame.epoch, kept: best };
    }
    return { stop: frames.at(-1)?.epoch ?? 0, kept: best };
  }
  const all = () => Array.from({ length: begun.seeds }, (_, place) => stopped(place));
  const whenStopped = several => lower(several.map(each => each.stop));
  function tell() {
    if (!frames.length || !begun) return;
    const several = all(), stop = whenStopped(several), kept = middle(several.map(each => each.kept));
    about.textContent = `With a patience of ${lab.values.patience} epochs a network stops after ${stop}, and is left as it was at its best until then, with a validation error of ${kept === null ? "none" : kept.toPrecision(4)} (medians of the ${begun.seeds}). They are judged after every ${begun.every} epochs.`;
    curves?.plot.redraw();
    const now = shown();
    epochs.tell(`epoch ${now.epoch}`);
    fit.textContent = fitted(now);
    data.canvas.setAttribute("aria-label", `The rows, the truth, and what network ${lab.values.shown} has made of them after ${now.epoch} epochs`);
  }
  // When the network in this place did best on rows it has not seen.
  const lowest = place => frames.reduce((one, other) => other.valid[place] !== null && (one === null || other.valid[place] < one.valid[place]) ? other : one, null);
  function best(place) {
    const frame = lowest(place);
    return frame ? ` (its lowest: ${frame.valid[place].toPrecision(4)} after ${frame.epoch})` : "";
  }
  // What the network shown makes of the rows after an epoch: how far it misses them tells how much of the noise it has learnt.
  function fitted(now) {
    const misses = now.train[lab.values.shown - 1];
    if (misses === null) return "";
    const place = lab.values.shown - 1, unseen = now.valid[place];
    const begin = `After ${now.epoch} epochs network ${lab.values.shown} misses the rows it learns from by ${misses.toPrecision(4)} (rmse), and those it has not seen by ${unseen === null ? "more than can be told" : unseen.toPrecision(4)}${best(place)}`;
    if (!begun.noise) return `${begin}. The rows have no noise: each lies on the truth.`;
    const noise = `The noise in the rows is ${begun.noise.toPrecision(4)}`;
    if (misses < begun.noise / 2) return `${begin}. ${noise}: it has learnt most of that by heart.`;
    if (misses < begun.noise) return `${begin}. ${noise}: it has learnt some of that, too.`;
    return `${begin}. ${noise}: it has not learnt the truth yet.`;
  }
  slider.addEventListener("input", () => { looked = Number(slider.value); tell(); data.redraw(); });
  stage.append(
    figure("How wrong are 32 networks after each epoch?", [holder, ...epochs.box]),
    figure("What has one of them learnt?", [key([["the network", hue(0)], ["the truth", colour("soft"), "dashed"], ["rows it learns from", colour("ink"), "dot"]]), data.canvas]),
  );
  stage.firstChild.querySelector("figcaption").replaceWith(about);
  stage.lastChild.querySelector("figcaption").replaceWith(fit);
  function marks(plot) {
    const pen = plot.ctx;
    if (!frames.length || !begun) return;
    pen.save();
    for (let place = 0; place < begun.seeds; place += 1) {
      const frame = lowest(place);
      if (!frame) continue;
      pen.fillStyle = colour("bad");
      pen.beginPath();
      pen.arc(plot.valToPos(frame.epoch, "x", true), plot.valToPos(frame.valid[place], "y", true), 3 * devicePixelRatio, 0, 7);
      pen.fill();
    }
    pen.restore();
    vertical(plot, whenStopped(all()), colour("gold"), [6, 5]);
    vertical(plot, shown().epoch, hue(0), []);
    epochs.under(plot);
  }
  return {
    begin(event) {
      // Another of the same networks is looked at where the one before it was.
      const rows = JSON.stringify(event.x) + JSON.stringify(event.y);
      begun = event; frames = [];
      if (rows !== seen) looked = -1;
      seen = rows;
      if (!curves) {
        const series = [
          ...Array.from({ length: event.seeds }, (_, i) => [`validation ${i + 1}`, () => `${colour("bad")}66`, 1]),
          ...Array.from({ length: event.seeds }, (_, i) => [`training ${i + 1}`, () => `${colour("soft")}44`, 1]),
        ];
        curves = new Curves({ series, xName: "epoch", yName: "error (rmse), by factors", height: 280, hooks: { draw: [marks] },
          label: "Training and validation error of 32 networks by epoch, with the lowest validation error of each" });
        holder.append(key([["validation", colour("bad")], ["training", colour("soft")], ["each network's lowest validation error", colour("bad"), "dot"], ["where patience stops", colour("gold"), "dashed"], ["epoch that is drawn", hue(0)]]), curves.box);
      }
      curves.clear();
      data.redraw();
    },
    frame(event) {
      frames.push(event);
      slider.max = frames.length - 1;
      slider.value = looked < 0 ? frames.length - 1 : Math.min(looked, frames.length - 1);
      curves.add(event.epoch, [...event.valid, ...event.train]);
      tell(); data.redraw();
    },
    instant() { tell(); },
  };
}

// How far up and down the picture of a sample goes: as far as the truth does, and what is predicted, within reason.
const UP_TO = [3, 8];

function sampling(stage, lab) {
  let begun = null, fits = [], errors = null;
  const data = new Plane({ x: [-1.1, 1.1], y: [-3, 3], xName: "x", yName: "y", height: 340, label: "The sampled part, its rows, and what eight networks predict everywhere" });
  const bars = new Plane({ x: [0, 1], y: [0, 4], height: 190, label: "The error that validation promises beside the errors there are" });
  const names = [["validation", "promised by validation"], ["inside", "inside the part"], ["outside", "outside of it"], ["everywhere", "over the population"]];
  data.draw = plane => {
    if (!begun) return;
    const [low, high] = begun.part.map(x => plane.px(x));
    plane.pen.fillStyle = `${colour("gold")}22`;
    plane.pen.fillRect(low, plane.box.top, high - low, plane.box.bottom - plane.box.top);
    plane.line(begun.grid, begun.truth, colour("soft"), 1.5, [5, 4]);
    fits.forEach(fit => plane.line(begun.grid, fit, `${hue(0)}aa`, 1.4));
    begun.x.forEach((x, i) => plane.dot(x, begun.y[i], begun.judges[i] ? colour("bad") : colour("ink"), 3));
  };
  bars.axes = () => {};
  bars.draw = plane => {
    if (!errors) return;
    const most = Math.max(...names.map(([name]) => errors[name] ?? 0), 0.01);
    names.forEach(([name, words], i) => {
      const y = plane.box.top + 6 + i * 38, long = (errors[name] ?? 0) / most * (plane.box.right - plane.box.left - 70);
      plane.pen.fillStyle = name === "validation" ? colour("bad") : name === "everywhere" ? hue(0) : colour("soft");
      plane.pen.fillRect(plane.box.left, y + 12, long, 14);
      plane.pen.fillStyle = colour("ink");
      plane.pen.textAlign = "left";
      plane.pen.font = "12.5px system-ui, sans-serif";
      plane.pen.fillText(words, plane.box.left, y + 8);
      plane.pen.fillText(short(errors[name]), plane.box.left + long + 6, y + 24);
    });
  };
  stage.append(
    figure("What do networks say where nobody has sampled?", [key([["8 networks", hue(0)], ["the truth", colour("soft"), "dashed"], ["rows that train", colour("ink"), "dot"], ["rows that judge", colour("bad"), "dot"]]), data.canvas],
      "The painted part is all that was sampled: drag across the picture to paint another.", true),
    figure("Does the validation error tell?", bars.canvas, "Root mean squared errors, medians of the eight networks.", true),
  );
  painted(data, ends => {
    if (begun) begun.part = ends;
    data.redraw();
    lab.changed("low", Math.min(ends[0], 0.8));
    lab.changed("high", Math.max(ends[1], -0.8));
  });
  return {
    begin(event) { begun = event; fits = []; errors = null; data.redraw(); bars.redraw(); },
    frame(event) {
      fits = event.fits; errors = event.errors;
      const farthest = Math.max(...fits.flat().map(y => Math.abs(y ?? 0)));
      const far = Math.ceil(Math.min(UP_TO[1], Math.max(UP_TO[0], farthest)));
      data.y = [-far, far];
      data.redraw(); bars.redraw();
    },
  };
}

function losses(stage, lab) {
  const points = () => lab.values.points;
  let begun = null, now = null, without = null;
  const data = new Plane({ x: [-1.1, 1.1], y: [-2, 3.2], xName: "x", yName: "y", height: 360,
    label: "Points and four fits. n and p choose a point, arrow keys move it, a adds one, Delete takes it away." });
  const bars = (yName, label) => new Plane({ x: [-1.1, 1.1], y: [0, 1], xName: "x of the point", yName, height: 200, label });
  const added = bars("share of the loss", "What each point adds to each loss"), pulled = bars("share of all pulls", "How hard each point pulls at each line");
  // Those that are not ticked are not drawn; who is, stays so when something is turned.
  const hidden = new Set(), legend = element("div"), dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
  const redraw = () => { data.redraw(); added.redraw(); pulled.redraw(); };
  const seen = (all, draw) => all?.forEach((each, i) => { if (!hidden.has(i)) draw(each, i); });
  data.draw = plane => {
    seen(without?.without, (ys, i) => plane.line(begun.grid, ys, `${hue(i)}cc`, 1.3));
    seen(begun && now?.lines, (ys, i) => plane.line(begun.grid, ys, hue(i), 2.4, dashes[i % dashes.length]));
    without?.far.forEach(place => { if (points()[place]) plane.dot(...points()[place], colour("card"), 9, colour("ink")); });
    points().forEach(([x, y], i) => plane.dot(x, y, i === plane.chosen ? colour("gold") : colour("ink"), i === plane.chosen ? 7 : 4.5));
  };
  const drawn = (plane, shares) => seen(shares, (each, i) => each.forEach((share, place) => {
    const point = points()[place];
    if (!point || share === null) return;
    const x = plane.px(point[0]) + (i - 1.5) * 3;
    plane.pen.fillStyle = hue(i);
    plane.pen.fillRect(x - 1.3, plane.py(share), 2.6, plane.box.bottom - plane.py(share));
  }));
  added.draw = plane => drawn(plane, now?.added);
  pulled.draw = plane => drawn(plane, now?.pulled);
  movable(data, points, moved => { lab.changed("points", moved); data.redraw(); });
  stage.append(
    figure("Who is listened to?", [legend, data.canvas], "Ringed: the two points farthest from MAE's line; thin: the lines without these two. Press on an empty place to add a point, drag one, press twice to take it away.", true),
    figure("What does each add to the loss?", added.canvas, "Bars of one colour add up to the whole loss of that line. A line that is hardly pulled leaves far points far, and their bars tall."),
    figure("How hard does each pull?", pulled.canvas, "By how much the loss would fall if the line came a little nearer. MSE's pull grows with the miss, Huber's no more beyond delta, and MAE's is the same for all."),
  );
  return {
    begin(event) {
      begun = event; without = null;
      if (!legend.firstChild) legend.append(ticks(event.names.map((name, i) => [name, hue(i)]), hidden, redraw));
      data.redraw();
    },
    frame(event) {
      if (event.without) without = event; else now = event;
      // In steps, lest the axes tremble.
      for (const [plane, shares] of [[added, now.added], [pulled, now.pulled]]) plane.y = [0, Math.min(1, Math.ceil(4 * Math.max(...shares.flat())) / 4)];
      redraw();
    },
  };
}

function optimizers(stage) {
  let begun = null, paths = [], cells = null, shares = null;
  const surface = new Plane({ x: [-2, 2], y: [-2, 2], xName: "first weight", yName: "second weight", square: true, label: "The loss for each pair of weights, and the ways of six optimizers over it" });
  const map = new Plane({ x: [0, 1], y: [0, 1], height: 300, label: "The loss in the end for each optimizer and each learning rate" });
  const CELL = "Every cell is a training of its own: the bluer, the lower its loss in the end; grey: diverged.";
  const legend = element("div"), about = element("figcaption"), suited = element("figcaption", {}, CELL), beyond = element("figcaption");
  // Those that are not ticked are not drawn; who is, stays so when something is turned.
  const hidden = new Set(), dashes = [[], [9, 3], [], [2, 3], [6, 3, 2, 3], []];
  let curves = null;
  const holder = element("div");
  const turned = (i, show) => { curves?.plot.setSeries(i + 1, { show }); surface.redraw(); };
  surface.draw = plane => {
    if (!begun) return;
    plane.surface(shares, begun.surface.cells);
    paths.forEach((path, i) => {
      if (hidden.has(i)) return;
      plane.line(path.map(at => at[0]), path.map(at => at[1]), hue(i), 2, dashes[i % dashes.length]);
      const last = path.at(-1);
      if (last && last[0] !== null) plane.dot(last[0], last[1], hue(i), 5);
    });
    // Above those who have come there.
    begun.lowest.forEach(place => plane.cross(...place, colour("ink"), 11));
  };
  const LEFT = 88;
  map.axes = () => {
    if (!begun) return;
    const { pen, box } = map, wide = (box.right - LEFT) / begun.rates.length, high = (box.bottom - box.top) / begun.names.length;
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = colour("ink");
    pen.textAlign = "right";
    begun.names.forEach((name, row) => pen.fillText(name, LEFT - 6, box.top + (row + 0.6) * high));
    pen.font = "11.5px system-ui, sans-serif";
    pen.fillStyle = colour("soft");
    pen.textAlign = "center";
    begun.rates.forEach((rate, column) => { if (column % 2 === 0 || column === begun.rates.length - 1) pen.fillText(short(Number(rate.toPrecision(2))), LEFT + (column + 0.5) * wide, box.bottom + 14); });
    pen.fillText("learning rate", (LEFT + box.right) / 2, box.bottom + 29);
  };
  map.draw = plane => {
    if (!begun || !cells) return;
    const rows = begun.names.length, columns = begun.rates.length;
    const wide = (plane.box.right - LEFT) / columns, high = (plane.box.bottom - plane.box.top) / rows;
    const logs = cells.map(value => value === null ? null : Math.log10(Math.max(value, 1e-6)));
    const known = logs.filter(value => value !== null), low = Math.min(...known), most = Math.min(Math.max(...known), Math.log10(begun.first[2]) + 0.5);
    begun.names.forEach((_, row) => {
      begun.rates.forEach((rate, column) => {
        const value = logs[row * columns + column];
        const [r, g, b] = value === null ? [120, 120, 120] : shade((value - low) / (most - low || 1));
        plane.pen.fillStyle = `rgb(${r} ${g} ${b})`;
        plane.pen.fillRect(LEFT + column * wide + 1, plane.box.top + row * high + 1, wide - 2, high - 2);
      });
    });
    if (begun.edge === null) return;
    // Rates lie apart by equal factors: the edge among them, across the row of SGD, which is the first.
    const at = LEFT + wide * (0.5 + Math.log(begun.edge / begun.rates[0]) / Math.log(begun.rates[1] / begun.rates[0]));
    plane.pen.strokeStyle = colour("ink");
    plane.pen.lineWidth = 3;
    plane.pen.beginPath(); plane.pen.moveTo(at, plane.box.top); plane.pen.lineTo(at, plane.box.top + high); plane.pen.stroke();
  };
  stage.append(
    figure("Which way do they go?", [legend, surface.canvas], ""),
    figure("Which rate suits whom?", map.canvas),
    figure("How fast do they come down?", holder, "", true),
  );
  [about, suited, beyond].forEach((caption, place) => stage.children[place].querySelector("figcaption").replaceWith(caption));
  return {
    useful: ({ surface: on }) => ({ stretch: on === "bowl", batch: on === "bowl" }),
    begin(event) {
      begun = event; paths = event.names.map(() => [event.first]); cells = null;
      shares = spread(event.surface.values);
      surface.x = event.surface.x; surface.y = event.surface.y;
      if (!legend.firstChild) legend.append(ticks(event.names.map((name, i) => [name, hue(i), dashes[i].length ? "dashed" : "line"]), hidden, turned));
      const places = event.lowest.length > 1 ? "the + are the lowest places" : "+ is the lowest place";
      about.textContent = `Blue is low; ${places}, with a loss of ${short(Number(event.least.toPrecision(2)))}. A way ends where its optimizer has diverged.`;
      beyond.textContent = `A loss above ${short(event.diverged * event.first[2])}, ${event.diverged} times the first, is not drawn.`;
      if (!curves) {
        curves = new Curves({ series: event.names.map((name, i) => [name, () => hue(i), 2, dashes[i % dashes.length]]), xName: "step", yName: "loss", height: 220, label: "The loss of each optimizer after each step" });
        holder.append(curves.box);
        for (const i of hidden) curves.plot.setSeries(i + 1, { show: false });
      }
      curves.clear();
      curves.add(0, event.names.map(() => event.first[2]));
      surface.redraw(); map.redraw();
    },
    frame(event) {
      if (event.map) { cells = event.map; suited.textContent = `${CELL}${begun.edge === null ? "" : " The bar is the edge beyond which SGD diverges."} ${event.suited ?? ""}`; map.redraw(); return; }
      const isDrawn = at => (at?.[2] ?? Infinity) <= begun.diverged * begun.first[2];
      curves.add(event.step, begun.names.map((_, i) => isDrawn(event.at[i]) ? event.at[i][2] : null));
      for (const [place, at] of Object.entries(event.at)) paths[place].push(isDrawn(at) ? at : [null, null, null]);
      surface.redraw();
    },
  };
}

function network(stage, lab) {
  let begun = null, valid = null, best = 0, chosen = null, surfaces = null, live = null, dead = null, right = null;
  const read = text => Array.from(atob(text), letter => letter.charCodeAt(0) / 255);
  const data = new Plane({ x: [-1.3, 1.3], y: [-1.3, 1.3], xName: "first input", yName: "second input", square: true, label: "Points of two classes, and what a network says of every place" });
  const tries = new Plane({ x: [Math.log10(2.4e-4), Math.log10(0.38)], y: [-2.1, 1.1], xName: "learning rate", yName: "validation log loss", square: true, powers: true, label: "The validation loss of 64 networks by learning rate" });
  const about = element("figcaption"), sides = element("div"), holder = element("div");
  const pick = element("input", { type: "range", min: 0, max: 63, value: 0, id: "pick", "aria-label": "Network whose surface is drawn" });
  let curves = null;
  const SIDES = ["#0072b2", "#d55e00"];
  const paint = share => {
    const [a, b] = [[0, 114, 178], [213, 94, 0]], back = colour("card") === "#ffffff" ? 255 : 27;
    const strength = Math.abs(share - 0.5) * 1.5, hueOf = share > 0.5 ? b : a;
    return hueOf.map(each => Math.round(back + strength * (each - back)));
  };
  data.draw = plane => {
    if (!begun) return;
    const shares = chosen !== null && surfaces ? surfaces[chosen] : live;
    if (shares) plane.surface(shares, begun.cells, paint);
    begun.x.forEach(([x, y], i) => plane.dot(x, y, SIDES[begun.y[i]], begun.judges[i] ? 2.4 : 3.6));
  };
  tries.draw = plane => {
    if (!valid) return;
    valid.forEach((loss, i) => {
      if (loss === null) return;
      const is = i === (chosen ?? best);
      plane.dot(Math.log10(begun.rates[i]), Math.max(-2, Math.min(1, Math.log10(Math.max(loss, 1e-2)))), is ? colour("gold") : hue(0), is ? 7 : 4.5);
    });
    plane.line(plane.x, plane.x.map(() => Math.log10(begun.guess)), colour("soft"), 1.2, [5, 4]);
  };
  function tell() {
    const at = chosen ?? best;
    if (!begun || !valid) return;
    const units = dead ? ` Dead units: ${Math.round(100 * dead[at])} %.` : "";
    const share = right ? `, ${Math.round(100 * right[at])} % of the validation points right` : "";
    about.textContent = `Network ${at + 1} of ${begun.rates.length}: rate ${short(begun.rates[at])}, weight decay ${short(begun.decays[at])}, validation log loss ${short(valid[at])}${share}.${units}`;
    curves?.copy(at, begun.rates.length);
    data.redraw(); tries.redraw();
  }
  pick.addEventListener("input", () => { chosen = Number(pick.value); tell(); });
  tries.canvas.addEventListener("pointerdown", event => {
    if (!valid) return;
    const [x, y] = tries.at(event);
    const far = valid.map((loss, i) => loss === null ? Infinity : Math.hypot(tries.px(x) - tries.px(Math.log10(begun.rates[i])), tries.py(y) - tries.py(Math.log10(Math.max(loss, 1e-2)))));
    chosen = far.indexOf(Math.min(...far));
    pick.value = chosen;
    tell();
  });
  stage.append(
    figure("What does it say of every place?", [sides, data.canvas], ""),
    figure("Which of the 64 learnt it?", [key([["picked", colour("gold")], ["the others", hue(0)], ["guessing", colour("soft")]]), tries.canvas, element("label", { for: "pick", class: "hint" }, "Press on one, or drag from the lowest rate to the highest, to see its surface"), pick], "Low is good: each network as it was at its best epoch. The dashed line is who knows no more than how many points each class has."),
    figure("How do they get there?", [key([["picked", colour("gold")], ["the others", hue(0)]]), holder], "", true),
  );
  stage.children[0].querySelector("figcaption").replaceWith(about);
  return {
    useful: ({ data: from, depth }) => ({ noise: from !== "own", width: depth > 0, activation: depth > 0, dropout: depth > 0 }),
    begin(event) {
      begun = event; valid = null; chosen = null; surfaces = null; live = null; dead = null; right = null;
      const [across, up] = event.isOwn ? namesOf(lab.values.own) : ["first input", "second input"];
      data.xName = across; data.yName = up;
      sides.replaceChildren(key([["class 0", SIDES[0]], ["class 1", SIDES[1]]]), element("p", { class: "hint" }, "Large points are learnt from; small ones, the validation points, judge."));
      if (!curves) {
        curves = new Curves({ series: [...event.rates.map((_, i) => [`network ${i + 1}`, () => `${hue(0)}66`, 1]), ["picked", () => colour("gold"), 2.6]], xName: "epoch", yName: "validation log loss", height: 220, label: "The validation loss of 64 networks by epoch" });
        holder.append(curves.box);
      }
      curves.clear();
      data.redraw(); tries.redraw();
    },
    frame(event) {
      valid = event.valid; best = event.best;
      if (event.surfaces) {
        surfaces = event.surfaces.map(read); dead = event.dead; right = event.right;
        if (chosen === null) { pick.value = best; live = surfaces[best]; }
        tell();
        return;
      }
      if (event.surface) live = read(event.surface);
      if (chosen === null) pick.value = best;
      curves.add(event.epoch, [...event.valid, null]);
      tell();
    },
    // Points that cannot be learnt from, as of a table that nobody has given: what was drawn is not theirs.
    failed(event) {
      begun = null; valid = null;
      curves?.clear();
      sides.replaceChildren(); about.textContent = event.sentence;
      data.redraw(); tries.redraw();
    },
  };
}

export const views = { line, duration, sampling, losses, optimizers, network };
