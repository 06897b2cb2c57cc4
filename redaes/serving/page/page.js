"use strict";

// Words from files and from the model reach the page as text only: nothing here writes HTML.

const $ = (id) => document.getElementById(id);
const state = { files: [], asking: null, series: [], said: [], asked: "", at: 0 };

function make(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function picture(file) {
  const image = make("img");
  image.src = file.url;
  image.alt = file.name;
  return image;
}

// A picture that opens beside another at full size.
function lookable(file, list, left, right) {
  const button = make("button", undefined, "look");
  button.type = "button";
  button.title = "Look closely: side by side at 100 %";
  button.append(picture(file));
  button.addEventListener("click", () => lookClosely(list, left, right));
  return button;
}

function lookClosely(list, left, right) {
  closer.open(list.map(({ name, url, score, error }) => (
    { name, url, caption: score === undefined ? "" : scoreInWords(score, error) })), left, right);
}

const scoreInWords = (score, error) => `${score.toFixed(2).replace("-", "−")} ± ${error.toFixed(2)} logits`;

// --- choosing ---------------------------------------------------------------------------------------------

function choose(list) {
  const added = [...list].map((file) => ({ file, name: file.name, url: URL.createObjectURL(file) }));
  state.files.push(...added);
  showChosen();
}

function clear() {
  if (state.asking) state.asking.abort();
  teach.leave();
  for (const file of state.files) if (!taught.keeps(file.url)) URL.revokeObjectURL(file.url);
  state.files = [];
  state.series = [];
  $("files").value = "";
  for (const id of ["verdict", "series"]) $(id).hidden = true;
  say("");
  showChosen();
}

function showChosen() {
  $("chosen").replaceChildren(...state.files.map((file) => {
    const item = make("li");
    item.append(picture(file));
    return item;
  }));
  const n = state.files.length;
  $("go").disabled = n < 2 || state.asking !== null;
  $("go").textContent = n > 2 ? `Rank ${n} pictures` : "Compare";
  $("clear").hidden = n === 0;
}

// --- asking -----------------------------------------------------------------------------------------------

function say(status, error = "") {
  $("status").textContent = status;
  $("error").textContent = error;
}

// A form, or a text that is JSON.
async function ask(path, body, signal) {
  const headers = $("key").value ? { Authorization: `Bearer ${$("key").value}` } : {};
  if (typeof body === "string") headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method: "POST", body, headers, signal });
  if (answer.status === 401) $("key-row").hidden = false;
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error.message);
  return found;
}

async function post(path, fields) {
  const body = new FormData();
  for (const [name, value] of fields) body.append(name, value);
  state.asking = new AbortController();
  showChosen();
  try {
    return await ask(path, body, state.asking.signal);
  } finally {
    state.asking = null;
    showChosen();
  }
}

async function compare(first, second) {
  const mode = document.querySelector("input[name=mode]:checked").value;
  say(`Comparing ${first.name} with ${second.name} …`);
  const samples = mode === "fast" ? "0" : $("samples").value || "0";
  const result = await post("v1/compare",
    [["first", first.file], ["second", second.file], ["mode", mode], ["samples", samples]]);
  say("");
  showVerdict(result, first, second);
}

async function rank() {
  say(`Ranking ${state.files.length} pictures …`);
  const files = state.files;
  const found = await post("v1/rank", [...files.map((file) => ["pictures", file.file]), ["mode", "fast"]]);
  say("");
  const { ranking } = found;
  state.series = ranking.order.flatMap((id) => files.filter((_, n) => found.ids[n] === id).map((file) => (
    { ...file, id, score: ranking.scores[id], error: ranking.errors[id], decision: "" })));
  state.said = found.answers;
  say(found.failed.map(({ index, reason }) => `${files[index].name} was left out: ${reason}.`).join(" "));
  const failed = ranking.n_failed ? `, ${ranking.n_failed} of them without a usable answer` : "";
  $("series-title").textContent = `${state.series[0].name} leads`;
  state.asked =
    `${ranking.n_comparisons} comparisons (${ranking.n_calls} questions)${failed}; ${ranking.n_cycles} circles; ` +
    `${found.model} @ ${found.revision}, ${found.prompt_id}`;
  $("series-provenance").textContent = state.asked;
  $("verdict").hidden = true;
  $("series").hidden = false;
  look(0);
}

async function guarded(work) {
  try {
    await work();
  } catch (error) {
    say("", error.name === "AbortError" ? "" : error.message);
  }
}

// --- two pictures -----------------------------------------------------------------------------------------

const percent = (share) => `${Math.round(100 * share)} %`;

const UNDECIDED = {
  orders: "undecided: the answer changes with the order",
  reasons: "undecided: the answer changes when reasons are asked for",
};

function drawnAgreement({ agreement: told }, first, second) {
  if (told === null) return "";
  const usable = told.n_first + told.n_second + told.n_tie;
  const said = told.n_first === told.n_second ? `${told.n_first} of ${usable} answers for either picture`
    : `${Math.max(told.n_first, told.n_second)} of ${usable} answers prefer ` +
      (told.n_first > told.n_second ? first : second).name;
  return `${said}${told.n_tie ? `, ${told.n_tie} neither` : ""}` +
    `${told.failures.length ? `; ${told.failures.length} could not be used` : ""}` +
    `${told.share === null && usable ? "; all in one order, so not debiased" : ""} ` +
    `(${told.per_order} drawn in each order; no probability of the model's)`;
}

function consistency({ order_consistent: consistent, undecided }) {
  if (consistent === null) return "";
  if (consistent) return "Both orders agree";
  return undecided === "orders" ? "The answer changes with the order"
    : "In one order the model sees a difference, in the other none";
}

function belief({ probability, log_odds: odds, calibration }) {
  if (probability === null || odds === null) return "";
  return calibration === null ? " (not calibrated)" : ` (calibrated on ${calibration.n_pairs} pairs)`;
}

// The reasoning with its contradicted statements marked; places count characters, not UTF-16 units.
function reasons({ rationale, claims }) {
  const letters = [...(rationale ?? "")];
  const wrong = letters.map(() => false);
  for (const { claim, status } of claims?.checked ?? []) {
    if (status === "contradicted") wrong.fill(true, claim.start, claim.end);
  }
  const pieces = [];
  for (let start = 0, end = 1; end <= letters.length; end++) {
    if (end < letters.length && wrong[end] === wrong[start]) continue;
    const text = letters.slice(start, end).join("");
    if (wrong[start]) {
      const mark = make("mark", text);
      mark.title = "contradicted by what was measured";
      pieces.push(mark, make("span", " [contradicted]", "quiet"));
    } else pieces.push(document.createTextNode(text));
    start = end;
  }
  return pieces;
}

function measuredRow(row) {
  const line = make("tr");
  const largest = Math.max(row.first, row.second);
  const cells = [row.first, row.second].map((value) => {
    const cell = make("td");
    const bar = make("span", undefined, "bar");
    bar.style.width = `${largest > 0 ? 100 * Math.max(0, value) / largest : 0}%`;  // below zero there is none
    cell.append(make("span", `${value.toFixed(row.digits).replace(/^-(0(\.0+)?)$/, "$1")} ${row.unit}`.trim(), "figure"), bar);
    return cell;
  });
  const remark = row.status === "contradicted" ? "contradicts the reasoning"
    : row.visible ? "" : "no visible difference";
  line.append(make("th", row.name), ...cells, make("td", remark, row.status ?? ""));
  return line;
}

function showVerdict(result, first, second) {
  const names = { A: first.name, B: second.name };
  const { winner, delta, probability } = result;
  // Nothing was asked about two copies of one picture, so nothing is known with a probability.
  const isSame = result.comparisons.length === 0 && result.agreement === null;
  $("title").textContent = isSame ? "The same picture twice" : result.undecided ? UNDECIDED[result.undecided]
    : winner === null ? "No usable answer" : winner === "tie" ? "No visible difference" : `${names[winner]} is better`;
  for (const [id, file, letter] of [["first", first, "A"], ["second", second, "B"]]) {
    const figure = $(id);
    figure.replaceChildren(lookable(file, [first, second], 0, 1),
      make("figcaption", file.name + (winner === letter ? " ✓" : "")));
    figure.className = winner === letter ? "better" : "";
  }
  $("bar").hidden = probability === null || isSame;
  if (isSame) $("sure").textContent = "";
  else if (probability !== null) {
    const text = `${percent(probability)} that ${first.name} is better, ${percent(1 - probability)} that ${second.name} ` +
      `is${belief(result)}`;
    $("share").style.width = `${100 * probability}%`;
    $("bar").setAttribute("aria-label", text);
    $("bar").className = winner === "B" ? "second" : "";
    $("sure").textContent = delta === null ? text : `${text}; a difference of ${Math.abs(delta).toFixed(1)} points of 9`;
  } else {
    const size = delta === null ? "" : `A difference of ${Math.abs(delta).toFixed(1)} points of 9`;
    $("sure").textContent = result.failure?.replaceAll("_", " ") ??
      [size, drawnAgreement(result, first, second)].filter(Boolean).join("; ");
  }
  $("rationale").hidden = result.rationale === null;
  $("rationale").replaceChildren(...reasons(result));
  const [a, b] = result.rationale_order === "swapped" ? [second, first] : [first, second];
  $("letters").textContent = result.rationale === null ? "" : `A is ${a.name}, B is ${b.name}`;
  $("claims").textContent = result.claims_summary === null ? "" : `Held against the pictures: ${result.claims_summary}.` +
    (result.draws.length ? ` The best supported of ${result.comparisons.length + result.draws.length} reasonings.` : "");
  $("measured").hidden = result.measured.length === 0;
  $("measured-first").textContent = first.name;
  $("measured-second").textContent = second.name;
  $("measured").tBodies[0].replaceChildren(...result.measured.map(measuredRow));
  $("factors").replaceChildren(...result.factors.map((factor) => make("li", factor)));
  $("orders").replaceChildren(...result.comparisons.map((one) => {
    const [shownA, shownB] = one.order === "forward" ? [first, second] : [second, first];
    const better = one.verdict === null ? one.failure.replaceAll("_", " ")
      : one.verdict.winner === "tie" ? "neither" : (one.verdict.winner === "A" ? shownA : shownB).name;
    const row = make("tr");
    row.append(make("td", one.order), make("td", shownA.name), make("td", better),
      make("td", one.probability === null ? "" : percent(one.probability)));
    return row;
  }));
  $("consistency").textContent = consistency(result);
  $("notes").replaceChildren(...result.notes.map((note) => make("li", note)));
  $("provenance").textContent = `${result.model} @ ${result.revision}, ${result.prompt_id}, ${result.mode}`;
  $("verdict").hidden = false;
  $("verdict").scrollIntoView({ block: "nearest" });
}

// --- a series ---------------------------------------------------------------------------------------------

function look(index) {
  state.at = Math.max(0, Math.min(state.series.length - 1, index));
  const now = state.series[state.at];
  const decided = now.decision ? `, ${now.decision}` : "";
  $("large").replaceChildren(lookable(now, state.series, 0, state.at || 1), make("figcaption",
    `${state.at + 1} of ${state.series.length}: ${now.name}, ${scoreInWords(now.score, now.error)}${decided}`));
  $("strip").replaceChildren(...state.series.map((file, n) => {
    const button = make("button", undefined, file.decision);
    button.type = "button";
    button.setAttribute("aria-current", String(n === state.at));
    button.setAttribute("aria-label", `${n + 1}: ${file.name} ${file.decision}`);
    button.append(picture(file), make("span", `${n + 1}${{ pick: " ✓", reject: " ✕" }[file.decision] ?? ""}`));
    button.addEventListener("click", () => look(n));
    const item = make("li");
    item.append(button);
    return item;
  }));
  $("strip").children[state.at].scrollIntoView({ block: "nearest", inline: "nearest" });
}

function move(by) {
  $("verdict").hidden = true;  // a comparison with the best was looked at, and stood above
  look(state.at + by);
}

function decide(decision) {
  state.series[state.at].decision = decision;
  move(decision && state.at < state.series.length - 1 ? 1 : 0);
}

const KEYS = {
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
  p: () => decide("pick"),
  x: () => decide("reject"),
  u: () => decide(""),
  l: () => lookClosely(state.series, 0, state.at || 1),
  c: () => state.at > 0 && state.asking === null && guarded(() => compare(state.series[0], state.series[state.at])),
};

// A leading apostrophe keeps spreadsheets from running a name as a formula.
const quoted = (text) => `"${String(text).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

function saveCsv(name, rows) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([rows.map((row) => row.join(",")).join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function save() {
  saveCsv("decisions.csv", [["rank", "name", "score_logits", "error_logits", "decision"],
    ...state.series.map((file, n) => [n + 1, quoted(file.name), file.score, file.error, file.decision])]);
}

// --- teaching ---------------------------------------------------------------------------------------------

function beginTeaching() {
  $("verdict").hidden = true;
  $("series").hidden = true;
  guarded(() => taught.begin(state.series, state.said, endTeaching));
}

// The series as the answers have it; nothing is known of it if no question could be asked.
function endTeaching(answered, nAnswers) {
  $("series").hidden = state.series.length === 0;
  if (answered === undefined || state.series.length === 0) return;
  const place = new Map(answered.order.map((id, n) => [id, n]));
  const at = ({ id }) => place.get(id) ?? place.size;  // what was not asked about stays as it was, at the end
  state.series = state.series
    .map((file) => ({ ...file, score: answered.scores[file.id] ?? file.score, error: answered.errors[file.id] ?? file.error }))
    .sort((one, other) => at(one) - at(other));
  $("series-title").textContent = `${state.series[0].name} leads`;
  $("series-provenance").textContent = `${state.asked}${nAnswers ? `; with ${nAnswers} answers of yours` : ""}`;
  look(0);
}

// --- wiring -----------------------------------------------------------------------------------------------

$("files").addEventListener("change", (event) => choose(event.target.files));
$("clear").addEventListener("click", clear);
$("save").addEventListener("click", save);
$("teach-begin").addEventListener("click", beginTeaching);
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  teach.leave();
  guarded(() => state.files.length === 2 ? ($("series").hidden = true, compare(...state.files)) : rank());
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  // On the whole page: a picture dropped beside the field would replace the page.
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") choose(event.dataTransfer.files);
  });
}
document.addEventListener("keydown", (event) => {
  if ($("series").hidden || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});
fetch("health").then((answer) => answer.json()).then((found) => {
  $("model").textContent = `${found.model} @ ${found.revision}`;
  $("limits").textContent = found.limits ?? "";
  $("limits").hidden = !found.limits;
}).catch((error) => say("", `the service does not answer (${error.message})`));
