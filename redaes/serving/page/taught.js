"use strict";

// What a person has taught on the page of the service: the series and pictures of this page, and the answers, which the
// browser keeps. The service keeps nothing, so each question goes with all that was said.

const taught = (() => {
  const STORE = "redaes-answers";
  const mine = [];  // {name, ids, said, files: id -> {name, url}}
  let answers = read();  // {series: name, first: {id, name}, second: {id, name}, winner}
  let unkept = "";
  let aim = "taste";

  function read() {
    try {
      const kept = JSON.parse(localStorage.getItem(STORE) ?? "[]");
      return Array.isArray(kept) ? kept.filter((one) => one?.first?.id && one?.second?.id && one.series && one.winner) : [];
    } catch {
      return [];  // a browser may keep nothing, or what another program left there
    }
  }

  // Another window of this page may have kept more.
  const current = () => (unkept ? answers : read());

  function write() {
    try {
      localStorage.setItem(STORE, JSON.stringify(answers));
      unkept = "";
    } catch (error) {
      unkept = `This browser keeps nothing (${error.message}): save the answers before you leave this page.`;
    }
    tell();
  }

  // The answers of earlier visits count where their pictures are here again.
  function known() {
    return answers.flatMap(({ first, second, winner }) => {
      const place = mine.findIndex(({ files }) => files.has(first.id) && files.has(second.id));
      return place < 0 ? [] : [{ series: place, first: first.id, second: second.id, winner }];
    });
  }

  const state = () => asking.ask("v1/teach", JSON.stringify({
    series: mine.map(({ ids, said }) => ({ ids, said })), answers: known(), aim,
  }), { key: $("key").value, seconds: limits.seconds });

  // An answer counts once the service has taken it: what fails is neither kept nor shown.
  async function changed(next) {
    const before = answers;
    answers = next;
    try {
      const found = await state();
      write();
      return found;
    } catch (error) {
      answers = before;
      throw error;
    }
  }

  function add({ series: place, first, second, winner }) {
    const one = mine[place];
    const named = (id) => ({ id, name: one.files.get(id).name });
    return changed([...current(), { series: one.name, first: named(first), second: named(second), winner }]);
  }

  function undo() {
    // The last one whose pictures are here: what is not on the page cannot be looked at again.
    const all = current();
    const last = all.findLastIndex(({ first, second }) => (
      mine.some(({ files }) => files.has(first.id) && files.has(second.id))));
    return changed(all.filter((_, n) => n !== last));
  }

  // The pictures that this browser can show; of the others, which are TIFF or raw, nothing can be asked.
  async function visible(pictures) {
    const seen = await Promise.all(pictures.map(async ({ url }) => {
      const image = new Image();
      image.src = url;
      return image.decode().then(() => true, () => false);
    }));
    return pictures.filter((_, n) => seen[n]);
  }

  async function begin(pictures, said, leave) {
    const files = new Map((await visible(pictures)).map(({ id, name, url }) => [id, { name, url }]));
    const ids = [...files.keys()].sort();
    if (ids.length < 2) throw new Error("This browser can show fewer than two different ones of these pictures, so nothing can be asked about them.");
    const missed = pictures.filter(({ id }) => !files.has(id)).map(({ name }) => name);
    say(missed.length ? `Not asked about, for this browser cannot show them: ${missed.join(", ")}.` : "");
    const names = [...files.values()].map(({ name }) => name).sort();
    const about = said.filter(({ first, second }) => files.has(first) && files.has(second));
    const found = { name: `${names[0]} and ${ids.length - 1} more`, ids, said: about, files };
    const place = mine.findIndex((one) => one.ids.join() === ids.join());
    if (place < 0) mine.push(found);
    else mine[place] = found;
    return teach.begin({
      state, add, undo, save,
      aim: (wanted) => { aim = wanted; },
      picture: (at, id) => mine[at].files.get(id),
      leave: (now) => leave(now?.series[mine.indexOf(found)], known().length),
    });
  }

  const keeps = (url) => mine.some(({ files }) => [...files.values()].some((file) => file.url === url));

  function save() {
    saveCsv("answers.csv", [["first", "second", "winner", "series"], ...answers.map((one) => (
      [quoted(one.first.name), quoted(one.second.name), one.winner, quoted(one.series)]))]);
  }

  function forget() {
    if (!confirm(`Forget ${units.counted(answers.length, "answer")}? They cannot be brought back.`)) return;
    answers = [];
    write();
  }

  function tell() {
    $("kept-answers").hidden = answers.length === 0;
    $("kept-n").textContent = `${units.counted(answers.length, "answer")} of yours ${answers.length === 1 ? "is" : "are"} kept by this browser. ${unkept}`;
  }

  $("kept-save").addEventListener("click", save);
  $("kept-forget").addEventListener("click", forget);
  tell();

  return { begin, keeps };
})();
