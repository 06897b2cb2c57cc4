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

  function button(text, act, fields = {}) {
    const made = pressable(text, () => {
      made.blur();  // or a key that is meant for the page would press it again
      act();
    }, fields);
    return made;
  }

  function build() {
    const view = pairOfPictures(["teach-left", "teach-right"], () => closely());
    const choices = [
      button("A is better", () => answer("left"), { id: "prefer-left" }),
      button("Equal", () => answer("tie"), { id: "prefer-neither" }),
      button("B is better", () => answer("right"), { id: "prefer-right" }),
    ];
    const back = button("Undo", () => undo(), { id: "undo" });
    const save = button("Save answers (CSV)", () => source.save(), { id: "save-answers" });
    const end = button("Back to the series", () => leave(), { id: "teach-end" });
    const aims = make("select", { id: "teach-aim" },
      make("option", { value: "taste", textContent: "my taste, for other pictures too" }),
      make("option", { value: "order", textContent: "the order of these pictures" }));
    aims.addEventListener("change", () => {
      aims.blur();
      source.aim(aims.value);
      under = under.then(() => step(() => source.state()));
    });
    const aim = make("label", {}, "Ask for ", aims);
    const progress = make("p", { id: "teach-progress", role: "status" });
    const trouble = make("p", { id: "teach-error", role: "alert" });
    const order = make("ol", { id: "teach-order" });
    order.setAttribute("aria-label", "The series as your answers have it, best first");
    order.tabIndex = 0;  // it scrolls
    const choice = make("div", { className: "choices" }, ...choices);
    const done = make("p", { id: "teach-done", hidden: true });
    const section = make("section", { id: "teach", hidden: true },
      make("h2", { textContent: "Which one do you prefer?" }), view.pair, choice, done, progress, trouble,
      view.tools, make("div", { className: "tools" }, back, save, end, aim),
      make("p", { className: "quiet keys" },
        make("kbd", { textContent: "←" }), " A · ", make("kbd", { textContent: "→" }), " B · ",
        make("kbd", { textContent: "=" }), " equal · ", make("kbd", { textContent: "Z" }), " undo · ",
        make("kbd", { textContent: "L" }), " look closely"),
      order);
    section.setAttribute("aria-label", "Teach");
    document.querySelector("main").append(section);
    parts = { section, view, choices, back, save, end, aim, progress, trouble, order, choice, done };
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
    parts.view.pair.classList.toggle("waiting", !ready);
    parts.back.disabled = now === null || now.n_answers === 0;
  }

  async function show() {
    const { next } = now;
    parts.progress.textContent = `${now.n_answers} answered; ${now.n_open} of ${now.n_pairs} pairs still open` +
      `${next !== null && now.n_open === 0 ? ": the order is settled, and what you answer now makes it surer" : ""}`;
    parts.view.pair.hidden = parts.view.tools.hidden = parts.choice.hidden = next === null;
    parts.done.hidden = next !== null;
    parts.done.textContent = "Every pair is answered.";
    if (next === null) {
      strip(now.series.length - 1);
      return;
    }
    strip(next.series);
    const pictures = [next.first, next.second].map((id) => source.picture(next.series, id));
    await parts.view.show(pictures);
    parts.progress.append(make("span", { className: "unseen", textContent: `. A is ${pictures[0].name}, B is ${pictures[1].name}` }));
    shown = next;
  }

  function strip(series) {
    parts.order.replaceChildren(...now.series[series].order.map((id, n) => {
      const { name, url, small } = source.picture(series, id);
      const image = make("img", { src: small ?? url, alt: name });
      return make("li", {}, image, make("span", { textContent: String(n + 1) }));
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
