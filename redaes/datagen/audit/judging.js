"use strict";

// Two pictures at a time, an answer for each. Words reach the page as text only: nothing here writes HTML.

const $ = (id) => document.getElementById(id);
const audit = JSON.parse($("audit").textContent);
const NAME = "redaes-audit-person";
const state = { person: "", turns: [], at: 0, given: new Map(), lines: [], seen: 0, ready: false, busy: false, pressed: null, said: "" };

// --- what is kept -----------------------------------------------------------------------------------------

// A browser may refuse to keep anything: null then, and from `store` why.
function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch (error) {
    return error.message;
  }
  return "";
}

const place = () => `redaes-audit/${audit.draw.version}/${audit.draw.dataset}/${audit.draw.seed}/${audit.draw.n_pairs}/` +
  `${audit.draw.repeated}/${state.person}`;

async function answered(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    throw new Error(`the server does not answer (${error.message}); nothing is lost: start it again and go on`);
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error.message);
  return found;
}

async function recall() {
  if (audit.served) {
    const found = await answered(`answers?person=${encodeURIComponent(state.person)}`);
    state.given = new Map(Object.entries(found.given));
    return;
  }
  state.lines = JSON.parse(stored(place()) ?? "[]");
  state.given = new Map(state.lines.map((line) => [line.showing, line.choice]));
}

async function keep(line) {
  if (audit.served) {
    await answered("answers", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(line),
    });
  } else {
    state.lines.push(line);
    const why = store(place(), JSON.stringify(state.lines));
    // The answers are still on this page, and go on being: only leaving it would lose them.
    if (why) $("staying").textContent = `This browser keeps nothing (${why}): save the answers before you leave this page.`;
  }
  state.given.set(line.showing, line.choice);
}

function save() {
  const text = state.lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" }));
  link.download = `answers-${state.person.replace(/[^\p{L}\p{N}]+/gu, "-")}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// --- what is shown ----------------------------------------------------------------------------------------

const address = (token) => (audit.served ? `pictures/${token}` : audit.pictures[token] ?? "");

// Which of the orders: the same one for a name, whenever it comes back.
const orderOf = (name) => [...name].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % audit.orders.length;

function turnOf([pair, exchanged, time]) {
  const [token, one, other] = audit.pairs[pair];
  const [left, right] = exchanged ? [other, one] : [one, other];
  return { showing: `${token}/${time}`, left, right };
}

function loaded(image, url) {
  return new Promise((done, failed) => {
    image.onload = () => image.decode().then(done, failed);
    image.onerror = () => failed(new Error("not there"));
    image.src = url;
    if (!url) failed(new Error("not there"));
  });
}

function allow(ready) {
  state.ready = ready;
  $("judge").classList.toggle("waiting", !ready);
  for (const button of document.querySelectorAll("[data-choice]")) button.disabled = !ready;
}

async function show(at) {
  state.at = at;
  const done = state.turns.filter(({ showing }) => state.given.has(showing)).length;
  $("bar").hidden = false;
  $("bar").max = state.turns.length;
  $("bar").value = done;
  $("place").textContent = `${done} of ${state.turns.length} answered, as ${state.person}`;
  $("error").textContent = "";
  $("skip").hidden = true;
  const ended = at >= state.turns.length;
  $("judge").hidden = ended;
  $("done").hidden = !ended;
  if (ended) {
    $("done").querySelector("h2").focus();
    $("kept").textContent = audit.served ? "Every answer is kept. You can close this page."
      : "Save the answers as a file and hand it on; then you can close this page.";
    return;
  }
  const { showing, left, right } = state.turns[at];
  $("back").disabled = at === 0;
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.setAttribute("aria-pressed", String(state.given.get(showing) === button.dataset.choice));
  }
  allow(false);
  try {
    await Promise.all([loaded($("left"), address(left)), loaded($("right"), address(right))]);
  } catch (error) {
    if (state.at === at) {
      $("error").textContent = "A picture of this pair cannot be shown. Try again, or go on without an answer.";
      $("skip").hidden = false;
    }
    return;
  }
  if (state.at !== at) return;
  state.seen = performance.now();
  allow(true);
  // Who goes from button to button by keyboard stays on theirs; a disabled one had lost the focus.
  state.pressed?.focus();
  state.pressed = null;
  $("told").textContent = `${state.said}Pair ${at + 1} of ${state.turns.length}`;
  const next = state.turns[at + 1];
  for (const token of next ? [next.left, next.right] : []) new Image().src = address(token);
}

function closely() {
  if (!state.ready || $("judge").hidden) return;
  closer.open(["left", "right"].map((side, n) => ({ name: "AB"[n], url: $(side).src })), 0, 1);
}

// --- answers ----------------------------------------------------------------------------------------------

async function answer(choice) {
  if (state.busy || $("judge").hidden || (choice !== "unseen" && !state.ready)) return;
  state.busy = true;
  try {
    const seconds = choice === "unseen" ? 0 : Math.round(performance.now() - state.seen) / 1000;
    const at = new Date().toISOString();
    await keep({ draw: audit.draw, person: state.person, ...state.turns[state.at], choice, seconds, at });
    const kept = document.querySelector(`[data-choice=${choice}]`);
    state.said = kept ? `Kept: ${kept.textContent}. ` : "";
    show(state.at + 1);
  } catch (error) {
    $("error").textContent = `This answer was not kept: ${error.message}`;
  } finally {
    state.busy = false;
  }
}

function back() {
  state.said = "";
  if (!state.busy && state.at > 0) show(state.at - 1);
}

async function begin(name) {
  state.person = name.trim().replace(/\s+/gu, " ");
  const isName = state.person && !/\p{C}/u.test(state.person);  // as files of answers are read
  $("error").textContent = isName ? "" : "Give a name of at least one letter, with only what can be seen in it.";
  if (!isName) return;
  try {
    await recall();
  } catch (error) {
    $("error").textContent = error.message;
    return;
  }
  store(NAME, state.person);
  state.turns = audit.orders[orderOf(state.person)].map(turnOf);
  const first = state.turns.findIndex(({ showing }) => !state.given.has(showing));
  $("start").hidden = true;
  $("saving").hidden = audit.served;
  $("person").blur();
  show(first < 0 ? state.turns.length : first);
}

$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  begin($("person").value);
});
for (const button of document.querySelectorAll("[data-choice]")) {
  button.addEventListener("click", (event) => {
    state.pressed = event.detail === 0 ? button : null;  // 0: by the keyboard
    button.blur();
    answer(button.dataset.choice);
  });
}
for (const button of document.querySelectorAll(".look")) button.addEventListener("click", closely);
$("closely").addEventListener("click", closely);
$("back").addEventListener("click", back);
$("again").addEventListener("click", back);
$("skip").addEventListener("click", () => answer("unseen"));
$("save").addEventListener("click", save);

const KEYS = {
  a: () => answer("left"), ArrowLeft: () => answer("left"),
  b: () => answer("right"), ArrowRight: () => answer("right"),
  s: () => answer("alike"), ArrowDown: () => answer("alike"),
  u: back, ArrowUp: back,
  l: closely,
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input") || !$("start").hidden) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  if (!event.repeat) act();  // a key that is held down is one answer
});
$("person").value = stored(NAME) ?? "";
