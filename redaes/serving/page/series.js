"use strict";

// A series in its order: looked at, decided, and compared with its best picture, whose verdict stays beside it.

const series = (() => {
  let files = [];  // best first: {key, name, url, id, score, error, decision}
  let said = [];  // the answers of the model, for what is asked of a person
  let asked = "";
  let at = 0;

  const MARKS = { pick: " ✓", reject: " ✕" };

  // found: as `/v1/rank` answers; its ids are in the order of `sent`.
  function take(found, sent) {
    const { ranking } = found;
    files = ranking.order.flatMap((id) => sent.filter((_, n) => found.ids[n] === id).map((file) => (
      { ...file, id, score: ranking.scores[id], error: ranking.errors[id], decision: "" })));
    said = found.answers;
    const failed = ranking.n_failed ? `, ${ranking.n_failed} of them without a usable answer` : "";
    asked = `${ranking.n_comparisons} comparisons (${ranking.n_calls} questions)${failed}; ${ranking.n_cycles} circles; ` +
      `${found.model} @ ${found.revision}, ${found.prompt_id}`;
    $("series-provenance").textContent = asked;
    begin(0);
  }

  function begin(place) {
    $("series-title").textContent = `${files[0].name} leads`;
    $("dock").append($("verdict"));
    $("verdict").hidden = true;
    $("series").hidden = false;
    look(place);
  }

  function leave() {
    $("series").hidden = true;
    $("verdict").hidden = true;
    document.querySelector("main").insertBefore($("verdict"), $("series"));
  }

  function forget() {
    leave();
    [files, said, asked, at] = [[], [], "", 0];
  }

  function without(key) {
    files = files.filter((file) => file.key !== key);
    if (files.length < 2) forget();
    else if (!$("series").hidden) begin(Math.min(at, files.length - 1));
  }

  function look(index) {
    at = Math.max(0, Math.min(files.length - 1, index));
    const now = files[at];
    const place = `${at + 1} of ${files.length}: ${now.name}`;
    const image = make("img", { src: now.url, alt: now.name });
    const button = make("button", { type: "button", className: "look", title: "Look closely: side by side at 100 %" }, image);
    button.addEventListener("click", closely);
    $("large").replaceChildren(button, make("figcaption", { textContent: `${place}${now.decision ? `, ${now.decision}` : ""}` }));
    $("standing").textContent = `${at + 1}: ${now.name} is ${units.standing(now, files[0])}.`;
    $("with-best").disabled = at === 0;
    $("previous").disabled = at === 0;
    $("next").disabled = at === files.length - 1;
    for (const decision of ["pick", "reject"]) $(decision).setAttribute("aria-pressed", String(now.decision === decision));
    $("strip").replaceChildren(...files.map((file, n) => {
      const one = make("button", { type: "button", className: file.decision, "aria-current": String(n === at),
        "aria-label": `${n + 1}: ${file.name} ${file.decision}` },
        make("img", { src: file.url, alt: "" }), make("span", { textContent: `${n + 1}${MARKS[file.decision] ?? ""}` }));
      one.addEventListener("click", () => move(n - at));
      return make("li", {}, one);
    }));
    const shown = $("strip").children[at];
    $("strip").scrollLeft = shown.offsetLeft - ($("strip").clientWidth - shown.clientWidth) / 2;
    announce($("large").textContent);
    remember();
  }

  function move(by) {
    if (by) {
      forgetVerdict();  // a comparison with the best was looked at; this is another picture
      $("dock").scrollTop = 0;
    }
    look(at + by);
  }

  function decide(decision) {
    files[at].decision = decision;
    move(decision && at < files.length - 1 ? 1 : 0);
  }

  const closely = () => lookClosely(files, 0, at || 1);

  const withBest = () => at > 0 && !isAsking() && guarded(() => compare(files[0], files[at]));

  const KEYS = {
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    p: () => decide("pick"),
    x: () => decide("reject"),
    u: () => decide(""),
    l: closely,
    c: withBest,
  };

  // A leading apostrophe keeps spreadsheets from running a name as a formula.
  function save() {
    saveCsv("decisions.csv", [["rank", "name", "score_logits", "error_logits", "decision"],
      ...files.map((file, n) => [n + 1, quoted(file.name), file.score, file.error, file.decision])]);
  }

  // The series as a person's answers have it; nothing is known of it if no question could be asked.
  function answered(found, nAnswers) {
    $("series").hidden = files.length === 0;
    if (found === undefined || files.length === 0) return;
    const place = new Map(found.order.map((id, n) => [id, n]));
    const rank = ({ id }) => place.get(id) ?? place.size;  // what was not asked about stays as it was, at the end
    files = files
      .map((file) => ({ ...file, score: found.scores[file.id] ?? file.score, error: found.errors[file.id] ?? file.error }))
      .sort((one, other) => rank(one) - rank(other));
    $("series-provenance").textContent = `${asked}${nAnswers ? `; with ${units.counted(nAnswers, "answer")} of yours` : ""}`;
    begin(0);
  }

  function teachBegin() {
    forgetVerdict();
    $("series").hidden = true;
    guarded(() => taught.begin(files, said, answered));
  }

  // What a reload needs; the pictures themselves are kept by their keys.
  const state = () => ({ said, asked, at, told: $("series-provenance").textContent, isOpen: !$("series").hidden,
    files: files.map(({ key, id, score, error, decision }) => ({ key, id, score, error, decision })) });

  function restore(told, byKey) {
    files = told.files.filter(({ key }) => byKey.has(key)).map((one) => ({ ...byKey.get(one.key), ...one }));
    if (files.length < 2) return forget();
    [said, asked] = [told.said, told.asked];
    $("series-provenance").textContent = told.told;
    if (told.isOpen) begin(told.at);
  }

  for (const [id, act] of Object.entries({
    previous: () => move(-1), next: () => move(1), pick: () => decide("pick"), reject: () => decide("reject"),
    neither: () => decide(""), "with-best": withBest, "look-both": closely, save, "teach-begin": teachBegin,
  })) $(id).addEventListener("click", act);

  document.addEventListener("keydown", (event) => {
    if ($("series").hidden || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });

  return { take, leave, forget, without, state, restore };
})();
