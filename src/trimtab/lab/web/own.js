// My data: a table that is dropped, what its columns are for, the search over it, and the model tried on a row.
import { Curves } from "./curves.js";
import { element, figure, key, tableFile } from "./element.js";
import { colour, hue, short } from "./plane.js";
import { asked, Stream } from "./stream.js";

const MOST = 50e6;
// What the page says and does not explain where it says it.
const WORDS = [
  ["target", "the column that is predicted from the others."],
  ["classification", "the target is one of some classes; where it is a number, that is a regression."],
  ["trial", "one setting of the network, tried on several parts of the rows."],
  ["baseline", "something simple to be better than: always the mean, a linear model, an untuned network."],
  ["validation rows", "judge trials while the search goes on; test rows judge the result alone, once."],
  ["out of fold", "judged by networks that have not been trained on the row."],
  ["[0.1, 0.3]", "an interval: it holds the true number in 95 of 100 such cases."],
  ["rmse", "the typical miss, in the unit of the target: lower is better."],
  ["log_loss, cross-entropy", "how little chance is given to the true class: 0 at best, lower is better."],
  ["accuracy", "the share of rows whose class is right; balanced_accuracy counts each class alike."],
  ["f1", "of two classes: 1 where all of the second one, and nothing else, is called that."],
  ["MLP", "a plain network: layers of units, one behind the other."],
  ["AdamW", "an optimizer: Adam, which also shrinks the weights a little at each step (weight decay)."],
  ["learning rate, cosine decay", "how far each step goes; by cosine decay that falls to nothing until the last epoch."],
  ["batch", "the rows that one step sees; an epoch is one pass over all of them."],
  ["silu, relu, tanh", "how the units of a layer bend what they are given."],
  ["periodic inputs, piecewise inputs", "numbers enter as waves of several lengths, or by how far they are through each of some bins, which lets a network bend more sharply."],
];
// A budget as one says it.
const inWords = budget => budget.replace(/s$/, " seconds").replace(/m$/, " minutes");

export function ownData(place, studies, query, remember) {
  const stream = new Stream(event => happened(event));
  const given = new URLSearchParams(query).get("open");
  const body = element("div");
  let token = null, curve = null, target = null, metric = "", baselines = [], isWatching = false, isClosed = false, isAnother = false;
  place.replaceChildren(
    element("h1", {}, "My data"),
    element("p", { class: "question" }, "A table of your own: what each column is for, what is wrong with it, and a network tuned on it while you watch."),
    body,
    element("details", {}, element("summary", {}, "What the words mean"),
      element("dl", { class: "words" }, WORDS.flatMap(([word, words]) => [element("dt", {}, word), element("dd", {}, words)]))),
  );

  // The address has the table or study that is open, or none.
  const remembered = () => {
    const address = token ? `#data?open=${encodeURIComponent(token)}` : "#data";
    if (!isClosed) history.replaceState(null, "", address);
    remember(address);
  };

  // -- a table

  function another() { stream.close(); isWatching = false; isAnother = true; token = null; remembered(); begun(); }

  function welcome(problem = "") {
    const file = tableFile("file");
    const zone = element("div", { class: "drop" },
      element("p", {}, "Drop a table here (CSV, TSV, Parquet or Excel, up to 50 MB)."),
      element("p", {}, element("label", { for: "file", class: "button" }, "Choose a file"), file),
      element("p", { class: "error", role: "alert" }, problem));
    file.addEventListener("change", () => { if (file.files[0]) send(file.files[0]); });
    zone.addEventListener("dragover", event => { event.preventDefault(); zone.classList.add("over"); });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", event => { event.preventDefault(); if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]); });
    const known = studies.map(each => element("li", {}, element("button", { type: "button", onclick: () => open(each) }, `Open ${each.name}${each.target ? ` (${each.target})` : ""}`)));
    body.replaceChildren(zone, known.length ? element("ul", { class: "facts" }, known) : "",
      element("p", { class: "hint" }, "It stays on this machine: the lab sends nothing anywhere."));
  }

  async function send(file) {
    if (file.size > MOST) { welcome("The table is larger than 50 MB: use trimtab fit on it."); return; }
    body.replaceChildren(element("p", {}, `${file.name} is being read.`));
    try {
      const told = await (await asked(`/own?name=${encodeURIComponent(file.name)}`, file)).json();
      token = told.token;
      remembered();
      if (!isClosed) chooseTarget(told);
    } catch (error) { welcome(error.message); }
  }

  function chooseTarget({ columns, rows, name, target: usual }) {
    const menu = element("select", { id: "target" }, columns.map(each => element("option", { value: each, selected: each === usual }, each)));
    const about = element("div");
    const look = async () => {
      about.replaceChildren(element("p", {}, "Its columns are being looked at."));
      try { about.replaceChildren(...looked(await (await asked(`/own/${token}/look?target=${encodeURIComponent(menu.value)}`)).json())); }
      catch (error) { about.replaceChildren(element("p", { class: "error", role: "alert" }, error.message)); }
    };
    menu.addEventListener("change", look);
    const budget = element("select", { id: "budget" }, ["30s", "60s", "2m", "5m", "15m"].map(each => element("option", { value: each, selected: each === "60s" }, inWords(each))));
    body.replaceChildren(
      element("p", {}, `${name}: ${rows.toLocaleString("en")} rows, ${columns.length} columns.`),
      element("div", { class: "bench" },
        element("div", { class: "controls" },
          element("div", { class: "control" }, element("label", { for: "target" }, "What is to be predicted"), menu),
          element("div", { class: "control" }, element("label", { for: "budget" }, "Time for it"), budget),
          element("div", { class: "buttons" },
            element("button", { type: "button", class: "main", onclick: () => begin(menu.value, budget.value, about) }, "Tune a network"),
            element("button", { type: "button", onclick: another }, "Another table"))),
        about),
    );
    look();
  }

  function looked(found) {
    const rows = found.columns.map(each => element("tr", {}, element("td", {}, each.name), element("td", {}, each.role), element("td", {}, each.reason)));
    return [
      element("h2", {}, "What each column will be used for"),
      element("p", {}, `This is a ${found.task}: ${found.task_reason.split(";")[0]}. ${found.rows.train.toLocaleString("en")} rows to learn from, ${found.rows.test.toLocaleString("en")} put aside for the test.`),
      element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Columns" }, element("table", {},
        element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Column"), element("th", { scope: "col" }, "Used as"), element("th", { scope: "col" }, "Because"))),
        element("tbody", {}, rows))),
      element("h2", {}, "What is wrong with the rows"),
      ...(found.findings.length ? findings(found.findings) : [element("p", {}, found.healthy.slice(0, 3).join(" ") || "Nothing was found.")]),
      ...found.notices.map(text => element("p", { class: "hint" }, text)),
    ];
  }

  // What takes an option of the command line cannot be done on this page, save for more time: the report has it.
  const isForHere = ({ flag, text }) => (!flag || flag.startsWith("--budget")) && !/`|trimtab /.test(text);
  const findings = found => found.map(each => element("div", { class: "finding" },
    element("p", {}, element("strong", {}, each.statement)),
    each.effect?.text ? element("p", {}, each.effect.text) : "",
    each.remedy?.text && isForHere(each.remedy) ? element("p", {}, each.remedy.text) : ""));

  async function begin(column, budget, about) {
    try { await asked(`/own/${token}/tune`, { target: column, budget }); watch(column); }
    catch (error) { about.replaceChildren(element("p", { class: "error", role: "alert" }, error.message)); }
  }

  // -- a search

  async function open({ token: known, state, target: column, name }) {
    token = known;
    remembered();
    if (state === "table") {
      try { chooseTarget({ ...(await (await asked(`/own/${token}/columns`)).json()), name }); }
      catch (error) { welcome(error.message); }
    } else watch(column);
  }

  const parts = {};
  function watch(column) {
    if (isClosed) return;
    target = column; baselines = []; isWatching = true;
    remembered();
    curve = null;
    parts.facts = element("ul", { class: "facts" });
    parts.bar = element("i");
    parts.curve = element("div");
    parts.said = element("p", {}, "The search begins.");
    parts.notes = element("div");
    parts.buttons = element("div", { class: "buttons" });
    parts.end = element("div");
    parts.found = [];
    parts.key = element("div");
    body.replaceChildren(
      element("p", {}, `Predicting ${target || "the target"}.`),
      parts.facts, element("div", { class: "bar", "aria-hidden": "true" }, parts.bar),
      element("div", { class: "said", role: "status" }, parts.said), parts.buttons,
      element("div", { class: "stage" }, figure("How good is the best so far, a network or a baseline?", [parts.key, parts.curve], "Baselines are dashed; what always predicts the mean is cut off where it is far from all others. All are judged by validation rows here: by the test rows, as in the result and in the report, they have other scores.", true)),
      parts.end, parts.notes,
    );
    running(true);
    stream.open(`/own/${token}/events`);
  }

  function running(is, elsewhere = false) {
    const stop = element("button", { type: "button", onclick: async () => {
      try { await asked(`/own/${token}/stop`, {}); parts.said.textContent = "It finishes with the best so far."; }
      catch (error) { parts.said.textContent = error.message; }
    } }, "Stop with the best so far");
    const on = budget => element("button", { type: "button", onclick: async () => {
      try { await asked(`/own/${token}/resume`, { budget }); watch(target); }
      catch (error) { parts.said.textContent = error.message; }
    } }, `Go on for ${inWords(budget)}`);
    parts.buttons.replaceChildren(...(elsewhere ? [] : is ? [stop] : [on("60s"), on("5m")]),
      ...(is ? [] : [element("button", { type: "button", onclick: another }, "Another table")]));
  }

  const folded = (title, held) => held.length ? element("details", {}, element("summary", {}, title), held) : "";

  const fact = (number, words) => element("li", {}, element("b", {}, number), element("span", {}, words));

  const best = event => fact(short(event.best), `${event.metric} of the best trial, on validation rows`);

  // Who knows nothing but the mean is so far off that all others would lie on one line: it, and the best so far as long
  // as that is it, are cut off where two others are there to be compared.
  function shown(low, high) {
    const others = baselines.filter(each => each.name !== "mean").map(each => each.score);
    const best = curve?.data[1].at(-1);
    // Of a study that is opened the baselines are its first trials, without their names.
    if (others.length < 2 && curve?.data[1].length > 6) others.push(curve.data[1][1], curve.data[1][2]);
    if (others.length < 2 || !Number.isFinite(best)) return [low, high];
    return [Math.max(low, Math.min(best, ...others)), Math.min(high, Math.max(best, ...others))];
  }

  function point(x, best) {
    if (best === null || best === undefined) return;
    if (!curve || parts.shown !== baselines.length) {
      const before = curve?.data;
      const dashed = baselines.map(each => [each.name, () => colour("soft"), 1.2, [6, 5]]);
      curve = new Curves({ series: [["best so far", () => hue(0), 2.4], ...dashed], xName: parts.isTrials ? "trial" : "seconds", yName: metric || "score", height: 250, log: false, shown, label: "The score of the best so far" });
      parts.key.replaceChildren(key([["best so far", hue(0)], ...baselines.map(each => [`${each.name.replaceAll("_", " ").replace("mlp", "MLP")}: ${short(each.score)}`, colour("soft")])]));
      parts.curve.replaceChildren(curve.box);
      parts.shown = baselines.length;
      if (before) curve.data = [before[0], before[1], ...baselines.map(each => before[0].map(() => each.score))];
    }
    curve.add(x, [best, ...baselines.slice(0, parts.shown).map(each => each.score)]);
  }

  function happened(event) {
    if (!isWatching) return;
    if (event.kind === "started") {
      parts.isTrials = event.elsewhere || !parts.isLive;
      if (event.elsewhere) { running(true, true); parts.said.textContent = `Another process searches in ${event.out}: it is only watched here.`; }
      else parts.said.textContent = `It is kept in ${event.out}.`;
    } else if (event.kind === "searching") {
      parts.isLive = true; curve = null;
    } else if (event.kind === "notice") {
      parts.notes.append(element("p", { class: "hint" }, event.sentence));
    } else if (event.kind === "findings") {
      parts.found = event.findings;
    } else if (event.kind === "baseline") {
      metric = event.metric;
      baselines.push(event);
    } else if (event.kind === "trial") {
      metric = event.metric;
      point(event.trial, event.best);
      parts.facts.replaceChildren(fact(String(event.trial), "trials"), best(event));
    } else if (event.kind === "progress") {
      metric = event.metric;
      parts.bar.style.width = `${Math.round(100 * event.share)}%`;
      parts.facts.replaceChildren(
        fact(String(event.trials), "trials"), fact(String(event.lanes), "networks train now"), best(event),
        ...(event.left === null ? [] : [fact(`${Math.round(event.left)} s`, "left")]));
      parts.said.textContent = { searching: "Searching: networks train side by side, the weak ones end early.", explaining: "The winner trains again beside copies that differ in one choice." }[event.phase] ?? `${event.phase[0].toUpperCase()}${event.phase.slice(1)}.`;
      point(event.at, event.best);
    } else if (event.kind === "ended") {
      stream.over();
      parts.bar.style.width = "100%";
      running(false);
      ended(event);
    } else if (event.kind === "failed") {
      stream.over();
      running(false);
      parts.said.textContent = event.sentence;
    } else if (event.kind === "lost") {
      parts.said.textContent = "The connection to the lab was lost. Load the page again to go on watching: the search goes on.";
    }
  }

  function ended(event) {
    const interval = event.interval ? ` (95 % interval ${short(event.interval[0])} to ${short(event.interval[1])})` : "";
    const chosen = event.validation === null || event.validation === undefined ? ""
      : ` On the validation rows, by which its networks were chosen, it was ${short(event.validation)}: the test rows took no part in that, and tell better what to expect.`;
    parts.said.textContent = event.score === null || event.score === undefined
      ? `${event.words}.` : `${event.metric} ${short(event.score)}${interval} on ${event.on}, after ${event.trials} trials.${chosen}`;
    // Nothing is left of the time, and nothing trains any more.
    for (const each of [...parts.facts.children]) if (/left|train now/.test(each.textContent)) each.remove();
    const row = element("div");
    const found = [...event.findings, ...(parts.found ?? []).filter(each => !event.findings.some(other => other.id === each.id))];
    parts.end.replaceChildren(
      ...event.verdicts.map(text => element("p", {}, text)), element("p", {}, `The winner: ${event.words}.`),
      element("p", { class: "buttons" },
        element("a", { class: "button", href: `/own/${token}/report`, target: "_blank", rel: "noopener" }, "Open the report"),
        element("a", { class: "button", href: `/own/${token}/predictions.csv`, download: true }, "Download predictions"),
        element("a", { class: "button", href: `/own/${token}/model.zip`, download: true }, "Download the model")),
      newTable(),
      ...(event.worth.length ? [element("h2", {}, "What each choice was worth"), ...event.worth.map(text => element("p", {}, text))] : []),
      element("h2", {}, "Try it on a row"), row,
      folded(`What was found (${found.length})`, findings(found)),
      folded("Notes", [...parts.notes.children]),
    );
    tryRow(row);
  }

  // -- the model on another table

  function newTable() {
    const own = token, said = element("span", { role: "status" });
    const file = tableFile("new-table");
    file.addEventListener("change", async () => {
      const [given] = file.files;
      if (!given) return;
      said.textContent = `${given.name} is being read.`;
      try {
        const { csv, rows, notices } = await (await asked(`/own/${own}/predictions?name=${encodeURIComponent(given.name)}`, given)).json();
        const address = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
        element("a", { href: address, download: `${given.name.replace(/\.[^.]*$/, "")}-predictions.csv` }).click();
        setTimeout(() => URL.revokeObjectURL(address), 60_000);
        said.textContent = [`${rows.toLocaleString("en")} rows were predicted.`, ...notices].join(" ");
      } catch (error) { said.textContent = error.message; }
      file.value = "";
    });
    return element("p", { class: "buttons" }, element("label", { for: "new-table", class: "button" }, "Predict new rows"), file, said);
  }

  // -- the model on a row

  async function tryRow(into) {
    const own = token;
    let inputs;
    try { inputs = await (await asked(`/own/${own}/inputs`)).json(); }
    catch (error) { into.replaceChildren(element("p", { class: "hint" }, error.message)); return; }
    const row = Object.fromEntries(inputs.map(each => [each.name, each.usual]));
    const said = element("p", {}, "");
    let soon = null;
    const predict = () => {
      clearTimeout(soon);
      soon = setTimeout(async () => {
        if (token !== own || isClosed) return;
        try {
          const { prediction, bounds, notices } = await (await asked(`/own/${own}/predict`, row)).json();
          const told = Object.entries(prediction).map(([name, value]) => `${name.replace(/^probability_/, "probability of ").replaceAll("_", " ")}: ${typeof value === "number" ? short(value) : value}`);
          said.textContent = [told.join(", "), bounds, ...notices].filter(Boolean).join(". ");
        } catch (error) { said.textContent = error.message; }
      }, 60);
    };
    const controls = inputs.map((each, i) => {
      const id = `row-${i}`, output = element("output", { for: id }, each.kind === "number" ? short(each.usual) : "");
      let input;
      if (each.kind === "number") {
        const step = each.whole ? 1 : (each.high - each.low) / 200 || 1;
        input = element("input", { type: "range", id, min: each.low, max: each.high, step, value: each.usual });
        input.addEventListener("input", () => { row[each.name] = Number(input.value); output.textContent = short(row[each.name]); predict(); });
      } else if (each.values.length) {
        input = element("select", { id }, each.values.map(value => element("option", { value, selected: value === each.usual }, value)));
        input.addEventListener("change", () => { row[each.name] = input.value; predict(); });
      } else {
        input = element("input", { type: "text", id, value: each.usual });
        input.addEventListener("input", () => { row[each.name] = input.value; predict(); });
      }
      return element("div", { class: "control" }, element("label", { for: id }, each.name, output), input);
    });
    into.replaceChildren(element("div", { class: "said", role: "status" }, said), element("div", { class: "stage row" }, controls));
    predict();
  }

  // Studies are asked for anew each time: some have begun since the page was loaded.
  async function begun() {
    try { studies = (await (await asked("/lab.json")).json()).studies; }
    catch { /* what was known is shown */ }
    const known = studies.find(each => each.token === given);
    if (isClosed) return;
    if (given && token === null && known && !isAnother) open(known);
    else if (!isAnother && !given && studies.length === 1 && studies[0].state !== "table") open(studies[0]);
    else welcome(given && !known && !isAnother ? "This table or study is no longer here: drop it again." : "");
  }

  begun();
  return { close() { isClosed = true; isWatching = false; stream.close(); } };
}
