// The lab's page: chapters by the address, their controls, and the stream of what happens.
import { drawn, fromAddress, toAddress } from "./controls.js";
import { element } from "./element.js";
import { asked, Stream } from "./stream.js";
import { views } from "./views.js";
import { ownData } from "./own.js";

const OWN = { name: "data", title: "My data" };
const place = document.getElementById("chapter");
let lab, open = null;
// The address that each chapter was left with: who comes back by its name finds it as it was.
const left = new Map();

// Moves of a slider within this time are one: a stream for each would only be closed again.
const MILLISECONDS = 40;
// Browsers let a page change its address some two hundred times in ten seconds, and a drag moves a hundred times in one.
const MILLISECONDS_TO_ADDRESS = 100;

class Chapter {
  constructor(chapter, query) {
    this.chapter = chapter;
    this.values = fromAddress(chapter, query);
    this.stream = new Stream((event, after) => this.happened(event, after));
    this.said = element("p", {}, "It begins.");
    this.box = element("div", { class: "said waiting", role: "status", "aria-live": "polite" }, this.said);
    this.code = element("pre", { tabindex: "0" });
    this.home = element("span");
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
    place.replaceChildren(
      element("h1", {}, chapter.title), element("p", { class: "question" }, chapter.question),
      element("p", { class: "guess" }, element("strong", {}, "Before you look: "), chapter.guess),
      element("div", { class: "bench" },
        this.controls.box,
        element("dl", { class: "words" }, chapter.words.flatMap(([word, words]) => [element("dt", {}, word), element("dd", {}, words)])),
        element("div", { class: "seen" }, this.stage, this.box,
          element("div", { class: "buttons" },
            element("button", { type: "button", onclick: () => this.run() }, "Run again"),
            element("button", { type: "button", onclick: () => this.reset() }, "As it was"),
            element("button", { type: "button", onclick: () => { this.remember(); this.copied(location.href); } }, "Copy the link"), this.home),
          details)),
    );
    this.run();
  }

  changed(name) {
    this.able();
    const control = this.chapter.controls.find(each => each.name === name);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.remember(), MILLISECONDS_TO_ADDRESS);
    if (this.details.open) this.showCode();
    if (control?.instant) { this.view.instant?.(name); return; }
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
      const lost = "The connection to the lab was lost: is it still running? Press Run again.";
      this.said.textContent = event.kind === "lost" ? lost : event.sentence;
      this.said.className = event.kind === "end" ? "" : "error";
      if (event.kind === "end") {
        this.view.end?.(event);
        this.home.replaceChildren(element("a", { class: "button", href: `/weights/${event.weights}`, download: "weights.safetensors" }, "Take the weights home"));
        this.stream.over();
      } else if (event.kind === "failed") { this.view.failed?.(event); this.stream.over(); }
    }
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

  tell(text) { this.home.replaceChildren(text); }

  close() {
    clearTimeout(this.soon); clearTimeout(this.later);
    left.set(this.chapter.name, toAddress(this.chapter, this.values));
    this.stream.close();
  }
}

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
