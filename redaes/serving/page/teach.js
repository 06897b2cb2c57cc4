"use strict";

// Two pictures at a time, of which a person prefers one. Which two, somebody else says: the page of the service, or a
// folder's. Names reach the page as text only: nothing here writes HTML.

const teach = (() => {
  const KEYS = {
    ArrowLeft: () => answer("left"),
    ArrowRight: () => answer("right"),
    "=": () => answer("tie"),
    ArrowDown: () => answer("tie"),
    z: () => undo(),
    l: () => closely(),
    Escape: () => leave(),
  };
  let parts = null;
  let source = null;
  let now = null;  // what to ask, and the order so far
  let shown = null;  // the question on the screen, once both pictures are there
  let busy = false;
  let under = Promise.resolve();  // what was begun last; it never fails

  function element(name, fields = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(fields)) {
      if (key in made) made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function button(text, act, fields = {}) {
    const made = element("button", { type: "button", textContent: text, ...fields });
    made.addEventListener("click", () => {
      made.blur();  // or a key that is meant for the page would press it again
      act();
    });
    return made;
  }

  function side(id, letter) {
    const image = element("img", { alt: "" });
    const look = element("button", { type: "button", className: "look", title: "Look closely: side by side at 100 %" }, image);
    look.addEventListener("click", () => {
      look.blur();
      closely();
    });
    const name = element("span", { className: "quiet" });
    return { image, name, box: element("figure", { id }, look, element("figcaption", {}, element("b", { textContent: letter }), " ", name)) };
  }

  function build() {
    const sides = [side("teach-left", "A"), side("teach-right", "B")];
    const choices = [
      button("A is better", () => answer("left"), { id: "prefer-left" }),
      button("Equal", () => answer("tie"), { id: "prefer-neither" }),
      button("B is better", () => answer("right"), { id: "prefer-right" }),
    ];
    const back = button("Undo", () => undo(), { id: "undo" });
    const save = button("Save answers (CSV)", () => source.save(), { id: "save-answers" });
    const end = button("Back to the series", () => leave(), { id: "teach-end" });
    const aims = element("select", { id: "teach-aim" },
      element("option", { value: "taste", textContent: "my taste, for other pictures too" }),
      element("option", { value: "order", textContent: "the order of these pictures" }));
    aims.addEventListener("change", () => {
      aims.blur();
      source.aim(aims.value);
      under = under.then(() => step(() => source.state()));
    });
    const aim = element("label", {}, "Ask for ", aims);
    const progress = element("p", { id: "teach-progress", role: "status" });
    const trouble = element("p", { id: "teach-error", role: "alert" });
    const order = element("ol", { id: "teach-order" });
    order.setAttribute("aria-label", "The series as your answers have it, best first");
    const pair = element("div", { className: "pair" }, sides[0].box, sides[1].box);
    const choice = element("div", { className: "choices" }, ...choices);
    const done = element("p", { id: "teach-done", hidden: true });
    const section = element("section", { id: "teach", hidden: true },
      element("h2", { textContent: "Which one do you prefer?" }), pair, choice, done, progress, trouble,
      element("div", { className: "tools" }, back, save, end, aim),
      element("p", { className: "quiet keys" },
        element("kbd", { textContent: "←" }), " A · ", element("kbd", { textContent: "→" }), " B · ",
        element("kbd", { textContent: "=" }), " equal · ", element("kbd", { textContent: "Z" }), " undo · ",
        element("kbd", { textContent: "L" }), " look closely"),
      order);
    section.setAttribute("aria-label", "Teach");
    document.querySelector("main").append(section);
    parts = { section, sides, choices, back, save, end, aim, progress, trouble, order, pair, choice, done };
  }

  // source: state(), add({series, first, second, winner}) and undo() promise {next, n_answers, n_open, n_pairs, series};
  // picture(series, id) is {name, url}. save(), leave(state) and aim(what the questions are for)
  // are optional.
  async function begin(given) {
    if (parts === null) build();
    source = given;
    parts.save.hidden = !source.save;
    parts.end.hidden = !source.leave;
    parts.aim.hidden = !source.aim;
    parts.section.hidden = false;
    await step(() => source.state());
    parts.section.scrollIntoView({ block: "start" });
  }

  const isOpen = () => parts !== null && !parts.section.hidden;

  function leave() {
    if (!isOpen() || !source.leave) return;
    parts.section.hidden = true;
    shown = null;
    source.leave(now);
  }

  async function step(work) {
    if (busy) return;
    busy = true;
    allow(false);
    parts.trouble.textContent = "";
    try {
      now = await work();
      shown = null;  // only now: what could not be kept can be answered again
      await show();
    } catch (error) {
      parts.trouble.textContent = error.message;
    } finally {
      busy = false;
      allow(shown !== null);
    }
  }

  const answer = (choice) => {
    if (shown === null || busy) return;
    const { series, first, second } = shown;
    under = step(() => source.add({ series, first, second, winner: { left: "first", right: "second", tie: "tie" }[choice] }));
  };

  // Whoever notices a slip while the answer is under way means that answer.
  function undo() {
    under = under.then(() => (now !== null && now.n_answers > 0 && isOpen() ? step(() => source.undo()) : undefined));
  }

  function allow(ready) {
    for (const choice of parts.choices) choice.disabled = !ready;
    parts.pair.classList.toggle("waiting", !ready);
    parts.back.disabled = now === null || now.n_answers === 0;
  }

  async function show() {
    const { next } = now;
    parts.progress.textContent = `${now.n_answers} answered; ${now.n_open} of ${now.n_pairs} pairs still open` +
      `${next !== null && now.n_open === 0 ? ": the order is settled, and what you answer now makes it surer" : ""}`;
    parts.pair.hidden = parts.choice.hidden = next === null;
    parts.done.hidden = next !== null;
    parts.done.textContent = "Every pair is answered.";
    if (next === null) {
      strip(now.series.length - 1);
      return;
    }
    strip(next.series);
    const names = [next.first, next.second].map((id) => source.picture(next.series, id));
    await Promise.all(parts.sides.map(({ image, name }, n) => {
      name.textContent = names[n].name;
      image.alt = names[n].name;
      return loaded(image, names[n].url);
    }));
    shown = next;
  }

  function loaded(image, url) {
    return new Promise((done, failed) => {
      image.onload = done;
      image.onerror = () => failed(new Error(`${image.alt} cannot be shown by this browser`));
      image.src = url;
    });
  }

  function strip(series) {
    parts.order.replaceChildren(...now.series[series].order.map((id, n) => {
      const { name, url, small } = source.picture(series, id);
      const image = element("img", { src: small ?? url, alt: name });
      return element("li", {}, image, element("span", { textContent: String(n + 1) }));
    }));
  }

  function closely() {
    if (shown === null) return;
    closer.open([shown.first, shown.second].map((id) => source.picture(shown.series, id)), 0, 1);
  }

  document.addEventListener("keydown", (event) => {
    if (!isOpen() || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    if (!event.repeat) act();  // a key that is held down is one answer
  });

  return { begin, isOpen, leave };
})();
