// The lab's page: chapters by the address, their controls, and the stream of what happens.
import { drawn, fromAddress, toAddress } from "./controls.js";
import { element } from "./element.js";
import { short } from "./plane.js";
import { asked, Stream } from "./stream.js";
import { views } from "./views.js";
import { ownData } from "./own.js";

// Chapters whose answer has been looked at: their guess is asked for no more.
const looked = new Set();
// So long "Copied." is read.
const MILLISECONDS_TOLD = 2500;
const OWN = { name: "data", title: "My data" };
const place = document.getElementById("chapter");
let lab, open = null;
// The address that each chapter was left with: who comes back by its name finds it as it was.
const left = new Map();

// Moves of a slider within this time are one: a stream for each would only be closed again.
const MILLISECONDS = 40;
// Browsers let a page change its address some two hundred times in ten seconds, and a drag moves a hundred times in one.
const MILLISECONDS_TO_ADDRESS = 100;
// When what is said of other settings gives way to saying that these are running.
const MILLISECONDS_TO_SAY_SO = 600;

class Chapter {
  constructor(chapter, query) {
    this.chapter = chapter;
    this.values = fromAddress(chapter, query);
    this.stream = new Stream((event, after) => this.happened(event, after));
    this.said = element("p", {}, "It begins.");
    this.beside = element("p", { class: "beside", hidden: true });
    this.before = element("p", { class: "before", hidden: true });
    this.box = element("div", { class: "said waiting", role: "status", "aria-live": "polite" }, this.beside, this.said, this.before);
    this.code = element("pre", { tabindex: "0" });
    this.home = element("span");
    this.note = element("span", { class: "copied", role: "status" });
    this.stage = element("div", { class: "stage" });
    this.view = views[chapter.name](this.stage, {
      values: this.values,
      changed: (name, value) => { this.values[name] = value; this.controls.show(name); this.changed(name); },
    });
    this.controls = drawn(chapter, this.values, name => this.changed(name));
    this.able();
    const details = element("details", {}, element("summary", {}, "Show the code"), this.code,
      element("button", { type: "button", onclick: () => this.copied(this.code.textContent) }, "Copy the code"));
    details.addEventListener("toggle", () => this.showCode());
    this.details = details;
    this.seen = element("div", { class: "seen", tabindex: "-1" }, this.box, this.stage,
      element("div", { class: "buttons" },
        element("button", { type: "button", onclick: () => this.run() }, "Watch again"),
        element("button", { type: "button", onclick: () => this.reset() }, "Back to the start"),
        element("button", { type: "button", onclick: () => { this.remember(); this.copied(location.href); } }, "Copy the link"), this.home, this.note),
      details);
    this.answers = element("div", { class: "choices", role: "group", "aria-label": "Your guess" },
      chapter.choices.map(each => element("button", { type: "button", onclick: () => this.look(each.name) }, each.label)),
      element("button", { type: "button", onclick: () => this.look("") }, "Show me"));
    this.asking = element("div", { class: "guess" }, element("strong", {}, "Before you look: "), chapter.guess, this.answers);
    place.replaceChildren(
      element("h1", {}, chapter.title), chapter === lab.chapters[0] ? start() : "", element("p", { class: "question" }, chapter.question),
      this.asking,
      element("div", { class: "bench" },
        this.controls.box,
        element("dl", { class: "words" }, chapter.words.flatMap(([word, words]) => [element("dt", {}, word), element("dd", {}, words)])),
        this.seen),
    );
    // A link with settings was made by who has seen it all.
    this.isCovered = chapter.choices.length > 0 && !query && !looked.has(chapter.name);
    this.asking.hidden = !this.isCovered;
    this.seen.hidden = this.isCovered;
    if (!this.isCovered) this.run();
  }

  // Uncover what happens, with a guess or without one.
  look(guess) {
    this.guess = guess;
    this.uncover();
    this.seen.focus({ preventScroll: true });
    this.run();
  }

  uncover() {
    this.isCovered = false;
    this.asking.hidden = true;
    this.seen.hidden = false;
    looked.add(this.chapter.name);
  }

  changed(name) {
    this.able();
    const control = this.chapter.controls.find(each => each.name === name);
    const wasCovered = this.isCovered;
    if (wasCovered) this.uncover();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.remember(), MILLISECONDS_TO_ADDRESS);
    if (this.details.open) this.showCode();
    if (control?.instant && !wasCovered) { this.view.instant?.(name); return; }
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.run(), MILLISECONDS);
  }

  // What has no effect beside the other values cannot be turned.
  able() {
    for (const [name, is] of Object.entries(this.view.useful?.(this.values) ?? {})) this.controls.useful(name, is);
  }

  remember() {
    clearTimeout(this.later);
    history.replaceState(null, "", toAddress(this.chapter, this.values));
  }

  address(what) {
    return `/experiments/${this.chapter.name}/${what}?values=${encodeURIComponent(JSON.stringify(this.values))}`;
  }

  run() {
    this.home.replaceChildren();
    this.box.classList.add("waiting");
    this.fresh = true;
    this.asked = structuredClone(this.values);
    clearTimeout(this.slow);
    this.slow = setTimeout(() => { this.said.textContent = "Training with these settings: the result comes here when it is through."; this.before.hidden = true; }, MILLISECONDS_TO_SAY_SO);
    this.stream.open(this.address("events"));
  }

  reset() {
    this.close();
    left.delete(this.chapter.name);
    history.replaceState(null, "", `#${this.chapter.name}`);
    open = new Chapter(this.chapter, "");
  }

  happened(event, after) {
    if (event.kind === "begin") {
      this.view.begin(event);
    } else if (event.kind === "frame") {
      if (this.fresh) { this.fresh = false; document.body.dataset.firstFrame = Math.round(after); }
      this.view.frame(event);
    } else {
      this.box.classList.remove("waiting");
      clearTimeout(this.slow);
      const lost = "The connection to the lab was lost: is it still running? Press Watch again.";
      this.said.textContent = event.kind === "lost" ? lost : event.sentence;
      this.said.className = event.kind === "end" ? "" : "error";
      if (event.kind === "end") {
        this.view.end?.(event);
        this.compare(event);
        this.home.replaceChildren(element("a", { class: "button", href: `/weights/${event.weights}`, download: "weights.safetensors", title: "What the network has learnt, as a file that PyTorch reads (safetensors)" }, "Take the weights home"));
        this.stream.over();
      } else if (event.kind === "failed") { this.view.failed?.(event); this.stream.over(); }
    }
  }

  // The guess is set beside the first outcome, for which it was made, and gone with it; an outcome is set beside the one
  // before it, where that was another.
  compare(event) {
    this.beside.hidden = true;
    if (this.guess && event.compared[this.guess]) {
      this.beside.textContent = `${event.compared[this.guess]} ${this.chapter.next}`;
      this.beside.hidden = false;
      this.guess = "";
    }
    const last = this.last;
    this.last = { values: this.asked, brief: event.brief };
    const moved = last ? this.chapter.controls.filter(each => !each.instant && JSON.stringify(last.values[each.name]) !== JSON.stringify(this.asked[each.name])) : [];
    this.before.hidden = !moved.length || !last.brief || last.brief === event.brief;
    if (!this.before.hidden) this.before.textContent = `Before, with ${moved.map(each => was(each, last.values[each.name])).join(", ")}: ${last.brief}.`;
  }

  async showCode() {
    if (!this.details.open) return;
    try { this.code.textContent = await (await asked(this.address("code"))).text(); }
    catch (error) { this.code.textContent = error.message; }
  }

  async copied(text) {
    try { await navigator.clipboard.writeText(text); this.tell("Copied."); }
    catch { this.tell("The browser does not allow copying here: mark the text and copy it by hand."); }
  }

  tell(text) {
    this.note.textContent = text;
    clearTimeout(this.told);
    this.told = setTimeout(() => { this.note.textContent = ""; }, MILLISECONDS_TOLD);
  }

  close() {
    clearTimeout(this.soon); clearTimeout(this.later); clearTimeout(this.slow);
    left.set(this.chapter.name, toAddress(this.chapter, this.values));
    this.stream.close();
  }
}

// A control and the value that it had.
function was(control, value) {
  if (control.kind === "slider") return `${control.label} ${short(value)}`;
  if (control.kind === "menu") return `${control.label} "${control.options.find(([name]) => name === value)?.[1]}"`;
  return "other points";
}

const start = () => element("p", { class: "start" },
  `In the lab you watch neural networks learn while they do, and turn what there is to turn: each chapter asks one question, and answers it with numbers measured on your machine. Read chapters 1 to ${lab.chapters.length} in order; in the one after them a network learns from a table of yours.`);

function show() {
  open?.close();
  open = null;
  const chapters = [...lab.chapters, OWN];
  const asFor = () => location.hash.slice(1).split("?", 2);
  const named = chapters.find(each => each.name === asFor()[0]);
  if (named && left.has(named.name) && location.hash === `#${named.name}`) history.replaceState(null, "", left.get(named.name));
  const chapter = named ?? (lab.studies.length && !asFor()[0] ? OWN : chapters[0]);
  const [, query = ""] = asFor();
  document.title = `${chapter.title} · trimtab lab`;
  for (const link of document.querySelectorAll("#chapters a")) {
    if (link.hash === `#${chapter.name}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  open = chapter === OWN ? ownData(place, lab.studies, query, address => left.set(OWN.name, address)) : new Chapter(chapter, query);
}

const described = await asked("/lab.json");
lab = await described.json();
document.getElementById("chapters").replaceChildren(
  ...[...lab.chapters, OWN].map((each, i) => element("li", {}, element("a", { href: `#${each.name}` }, `${i + 1}. ${each.title}`))),
);
addEventListener("hashchange", () => { show(); place.focus({ preventScroll: true }); scrollTo(0, 0); });
show();
