"use strict";

// The page of the service: pictures are chosen, shrunk, sent, and remembered; what comes back is shown elsewhere.

// What the service takes, until it has said so itself.
const limits = { picture_pixels: 4 * 1_048_576, body_bytes: 32 * 2 ** 20, pictures: 16, seconds: 180 };
// {key, name, url, copy: promise of {blob, from, to}, sent: the copy once it is there}
const state = { files: [], asking: null, verdict: null };
let lastKey = Date.now();  // a key is never used again, not by another visit of this tab either

function say(status, error = "") {
  $("status").textContent = status;
  $("error").textContent = error;
}

function announce(text) {
  $("announced").textContent = text;
}

const isAsking = () => state.asking !== null;

async function guarded(work) {
  try {
    await work();
  } catch (error) {
    say("", error.name === "AbortError" ? "" : error.message);
    if (error.status === 401) $("key-row").hidden = false;
  }
}

function lookClosely(list, left, right) {
  const brief = (one) => (one.score === undefined ? "" : units.behind(one, list[0]));
  closer.open(list.map((one) => ({ name: one.name, url: one.url, caption: brief(one) })), left, right);
}

// --- choosing ---------------------------------------------------------------------------------------------

function choose(list) {
  for (const file of list) {
    const one = { key: String(++lastKey), name: file.name, file, url: URL.createObjectURL(file) };
    one.copy = prepared(one, file);
    state.files.push(one);
  }
  $("files").value = "";  // the same file may be chosen again after it was removed
  say("");
  showChosen();
}

// A copy that was kept by the browser is what was sent before.
async function prepared(one, file) {
  await told;  // how large a picture may be
  one.sent = await shrinking.copy(file, limits.picture_pixels);
  showChosen();
  remember();
  return one.sent;
}

function discard(file) {
  if (!taught.keeps(file.url)) URL.revokeObjectURL(file.url);
}

function remove(file) {
  if (state.files.length === 1) return clear();
  if (isAsking()) state.asking.abort();
  const place = state.files.indexOf(file);
  state.files.splice(place, 1);
  if (state.verdict && [state.verdict.first, state.verdict.second].includes(file.key)) forgetVerdict();
  series.without(file.key);
  discard(file);
  showChosen();
  say("", "");
  announce(`${file.name} was removed`);
  remember();
  ($("chosen").children[Math.min(place, state.files.length - 1)]?.querySelector("button") ?? $("files")).focus();
}

function clear() {
  if (isAsking()) state.asking.abort();
  teach.leave();
  state.files.forEach(discard);
  state.files = [];
  forgetVerdict();
  series.forget();
  say("");
  showChosen();
  $("kept-here").textContent = "";
  kept.forget().catch(keptNothing);
  $("files").focus();
}

function showChosen() {
  const few = state.files.length;
  $("chosen").replaceChildren(...state.files.map((file) => {
    const { from, to } = file.sent ?? {};
    const note = file.sent === undefined ? "is being read …" : !from ? ""
      : from[0] > to[0] ? `shrunk from ${from.join(" × ")} to ${to.join(" × ")} pixels` : "made a smaller file";
    const image = make("img", { src: file.url, alt: "" });
    image.addEventListener("error", () => image.replaceWith(make("span", { className: "blank" })));  // it may be a TIFF
    return make("li", {}, image,
      make("span", { className: "named" }, make("span", { className: "name", textContent: file.name, title: file.name }),
        make("span", { className: "quiet", textContent: note })),
      pressable("✕", () => remove(file), { className: "remove", title: "Remove", "aria-label": `Remove ${file.name}` }));
  }));
  $("go").disabled = few < 2 || isAsking();
  $("go").textContent = few > 2 ? `Rank ${few} pictures` : "Compare";
  $("clear").hidden = few === 0;
  const shrunk = state.files.filter(({ sent }) => sent?.from).length;
  $("shrunk").hidden = shrunk === 0;
  $("shrunk").textContent = `${units.counted(shrunk, "picture")} ${shrunk === 1 ? "is" : "are"} shrunk before being sent: the model ` +
    "looks at no more than that. Noise and sharpness are then measured in the smaller copy.";
}

// --- asking -----------------------------------------------------------------------------------------------

// What the server calls a picture: the field in which it comes, with the ending of its name.
const fieldName = (field, name) => field + (/\.[a-z0-9]+$/i.exec(name)?.[0].toLowerCase() ?? "");

// What the user calls the pictures, by what the server calls them. named: [field, file].
function calledBy(named) {
  return Object.fromEntries(named.flatMap(([field, { name, sent }]) => {
    const ending = fieldName(field, sentName(name, sent));
    return ending === field ? [[field, name]] : [[ending, name], [field, name]];
  }));
}

const sentName = (name, sent) => (sent?.from ? `${name.replace(/\.[^.]*$/, "")}.jpg` : name);

async function post(path, files, fields) {
  if (files.length > limits.pictures) {
    throw new Error(`These are ${files.length} pictures; the service takes at most ${limits.pictures} at once. ` +
      `Remove ${files.length - limits.pictures} of them.`);
  }
  state.asking = new AbortController();
  showChosen();
  const { signal } = state.asking;
  try {
    const named = await Promise.all(files.map(async ([field, file]) => [field, file, await copyOf(file)]));
    let sent = named.map(([, , copy]) => copy);
    const room = 0.95 * limits.body_bytes;
    if (total(sent) > room) sent = await smaller(sent, room);
    const body = new FormData();
    named.forEach(([field, file, copy], n) => body.append(field, sent[n].blob, sentName(file.name, sent[n].from ? sent[n] : copy)));
    for (const [name, value] of fields) body.append(name, value);
    const names = calledBy(named.map(([field, file], n) => [field === "pictures" ? `pictures${n}` : field,
      { name: file.name, sent: sent[n] }]));
    const bytes = Object.fromEntries(named.map(([, { name }], n) => [name, sent[n].blob.size]));
    signal.throwIfAborted();
    const found = await asking.ask(path, body, { key: $("key").value, names, bytes, seconds: limits.seconds, signal });
    return { found, names };
  } finally {
    state.asking = null;
    showChosen();
  }
}

const copyOf = async (file) => file.sent ?? file.copy;

const total = (copies) => copies.reduce((sum, { blob }) => sum + blob.size, 0);

// Many large pictures at once: each within its share of what one request may hold, where the browser can see to it.
async function smaller(copies, room) {
  const pixels = Math.max(limits.model_pixels ?? 1_048_576, room / copies.length);  // a byte a pixel is much for JPEG
  return Promise.all(copies.map(async (copy) => {
    const again = await shrinking.copy(copy.blob, Math.min(limits.picture_pixels, pixels));
    return again.from ? { ...again, from: copy.from ?? again.from } : copy;
  }));
}

async function compare(first, second) {
  const mode = document.querySelector("input[name=mode]:checked").value;
  say(`Comparing ${first.name} with ${second.name} …`);
  const samples = mode === "fast" ? "0" : $("samples").value || "0";
  const { found } = await post("v1/compare", [["first", first], ["second", second]], [["mode", mode], ["samples", samples]]);
  say("");
  state.verdict = { result: found, first: first.key, second: second.key };
  verdict.show(found, first, second);
  $("verdict").scrollIntoView({ block: "nearest" });
  remember();
}

function forgetVerdict() {
  state.verdict = null;
  $("verdict").hidden = true;
}

async function rank() {
  const files = [...state.files];
  say(`Ranking ${files.length} pictures …`);
  const { found, names } = await post("v1/rank", files.map((file) => ["pictures", file]), [["mode", "fast"]]);
  say(found.failed.map(({ reason }) => `Left out: ${asking.renamed(reason, names)}.`).join(" "));
  forgetVerdict();
  series.take(found, files);
}

// Names of files that a spreadsheet would run as formulas get an apostrophe in front.
const quoted = (text) => `"${String(text).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

function saveCsv(name, rows) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([rows.map((row) => row.join(",")).join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// --- what a reload brings back ----------------------------------------------------------------------------

function keptNothing(error) {
  $("kept-here").textContent = `This browser keeps nothing (${error.message}): a reload of this page loses the pictures and your picks.`;
}

function remember() {
  const ready = state.files.filter(({ sent }) => sent);
  if (ready.length === 0) return;
  const told = {
    mode: document.querySelector("input[name=mode]:checked").value, samples: $("samples").value,
    files: ready.map(({ key, name, sent: { from, to } }) => ({ key, name, from, to })), verdict: state.verdict, series: series.state(),
  };
  const blobs = new Map(ready.map(({ key, sent }) => [key, sent.blob]));
  kept.write(told, blobs).then(() => {
    if (state.files.length === 0) return;
    $("kept-here").textContent = "A reload loses nothing: this browser keeps the pictures as they are sent " +
      `(${units.megabytes(total(ready.map(({ sent }) => sent)))}), the answers about them and your picks, for this tab and at most ` +
      "a day. “Clear” removes them. The API key is not kept.";
  }, keptNothing);
}

async function restore() {
  const found = await kept.read();
  if (found === null || state.files.length > 0) return;
  state.files = found.files.filter(({ key }) => found.blobs.has(key)).map(({ key, name, from, to }) => {
    const sent = { blob: found.blobs.get(key), from, to };
    return { key, name, sent, url: URL.createObjectURL(sent.blob) };
  });
  document.querySelector(`input[name=mode][value=${found.mode}]`).checked = true;
  $("samples").value = found.samples;
  const byKey = new Map(state.files.map((file) => [file.key, file]));
  series.restore(found.series, byKey);
  const shown = found.verdict && [byKey.get(found.verdict.first), byKey.get(found.verdict.second)];
  if (shown?.every(Boolean)) {
    state.verdict = found.verdict;
    verdict.show(found.verdict.result, ...shown);
  }
  showChosen();
  remember();
}

// --- wiring -----------------------------------------------------------------------------------------------

$("files").addEventListener("change", (event) => choose(event.target.files));
$("clear").addEventListener("click", clear);
for (const field of document.querySelectorAll("input[name=mode], #samples")) field.addEventListener("change", remember);
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  teach.leave();
  guarded(() => state.files.length === 2 ? (series.forget(), compare(...state.files)) : rank());
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  // On the whole page: a picture dropped beside the field would replace the page.
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") choose(event.dataTransfer.files);
  });
}
const told = asking.ask("page.json").then((found) => {
  Object.assign(limits, found.limits);
  $("model").textContent = `${found.model} @ ${found.revision}`;
  $("limits").textContent = found.about ?? "";
  $("limits").hidden = !found.about;
}).catch((error) => say("", error.message));
restore().catch(keptNothing);
