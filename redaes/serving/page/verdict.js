"use strict";

// The verdict on two pictures. A is the picture on the left: the one that the reasoning calls A, where there is one.

const verdict = (() => {
  let looked = [];  // {name, url}, A first
  const view = pairOfPictures(["first", "second"], () => lookClosely(looked, 0, 1));
  $("pictures").append(view.pair, view.tools);

  const UNDECIDED = {
    orders: "Undecided: the answer changes with the order",
    reasons: "Undecided: the answer changes when reasons are asked for",
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
        pieces.push(make("mark", { textContent: text, title: "contradicted by what was measured" }),
          make("span", { textContent: " [contradicted]", className: "quiet" }));
      } else pieces.push(document.createTextNode(text));
      start = end;
    }
    return pieces;
  }

  function measuredRow(row, turned) {
    const values = turned ? [row.second, row.first] : [row.first, row.second];
    const largest = Math.max(...values);
    const cells = values.map((value) => {
      const bar = make("span", { className: "bar" });
      bar.style.width = `${largest > 0 ? 100 * Math.max(0, value) / largest : 0}%`;  // below zero there is none
      const figure = `${value.toFixed(row.digits).replace(/^-(0(\.0+)?)$/, "$1")} ${row.unit}`.trim();
      return make("td", {}, make("span", { textContent: figure, className: "figure" }), bar);
    });
    const remark = row.status === "contradicted" ? "contradicts the reasoning" : row.visible ? "" : "no visible difference";
    return make("tr", {}, make("th", { textContent: row.name, scope: "row" }), ...cells,
      make("td", { textContent: remark, className: row.status ?? "" }));
  }

  // What each order says for A, as a share; calibrated as the whole is.
  function shares({ comparisons, calibration }, turned) {
    return comparisons.filter(({ log_odds: odds }) => odds !== null).map(({ order, log_odds: odds }) => {
      const isFirst = order === "forward";
      const forA = isFirst === turned ? -odds : odds;  // as read of the picture that was shown as A in that order
      if (calibration === null) return units.sigmoid(forA);
      const believed = units.sigmoid(forA / calibration.temperature);
      return Math.max(1 - calibration.ceiling, Math.min(calibration.ceiling, believed));
    });
  }

  function drawBar(result, turned, forA, winner) {
    const between = shares(result, turned);
    const [least, most] = [Math.min(...between), Math.max(...between)];
    const isDoubtful = between.length > 1 && most - least >= 0.005;
    $("share").style.width = `${100 * forA}%`;
    $("doubt").hidden = !isDoubtful;
    if (isDoubtful) {
      $("doubt").style.left = `${100 * least}%`;
      $("doubt").style.width = `${100 * (most - least)}%`;
    }
    $("bar").className = winner === "A" ? "left" : winner === "B" ? "right" : "";
    $("share-a").textContent = `A ${units.percent(forA)}`;
    $("share-b").textContent = `${units.percent(1 - forA)} B`;
    $("bar").setAttribute("aria-label", `${units.percent(forA)} for A, ${units.percent(1 - forA)} for B`);
    $("doubt-note").textContent = [
      isDoubtful ? `Hatched: between the two orders of asking, ${units.percent(least)} and ${units.percent(most)} for A.` : "",
      result.undecided !== "orders" ? "" : least < 0.5 && most > 0.5 ? "It reaches over the middle: each order prefers another picture."
        : "The written answers prefer another picture in each order; what is read beside them does not.",
    ].filter(Boolean).join(" ");
  }

  function show(result, first, second) {
    const turned = result.rationale_order === "swapped";
    const [a, b] = turned ? [second, first] : [first, second];
    const letterOf = { A: turned ? "B" : "A", B: turned ? "A" : "B" };  // from the letters of the result to those shown
    const winner = letterOf[result.winner] ?? result.winner;
    const { delta, probability } = result;
    looked = [a, b];
    // Nothing was asked about two copies of one picture, so nothing is known with a probability.
    const isSame = result.comparisons.length === 0 && result.agreement === null;
    $("title").textContent = isSame ? "The same picture twice" : result.undecided ? UNDECIDED[result.undecided]
      : winner === null ? "No usable answer" : winner === "tie" ? "No visible difference"
        : `${(winner === "A" ? a : b).name} is better`;
    // What cannot be shown (TIFF, raw) was judged all the same: its frame stays empty under its name.
    view.show([a, b]).catch((error) => { $("status").textContent = error.message; });
    view.mark(winner);
    $("bar").hidden = $("doubt-note").hidden = probability === null || isSame;
    if (isSame) $("sure").textContent = "";
    else if (probability !== null) {
      const forA = turned ? 1 - probability : probability;
      const text = `${units.percent(forA)} that A is better, ${units.percent(1 - forA)} that B is${belief(result)}`;
      drawBar(result, turned, forA, winner);
      $("sure").textContent = delta === null ? text : `${text}; a difference of ${Math.abs(delta).toFixed(1)} points of 9`;
    } else {
      const size = delta === null ? "" : `A difference of ${Math.abs(delta).toFixed(1)} points of 9`;
      $("sure").textContent = result.failure?.replaceAll("_", " ") ??
        [size, drawnAgreement(result, first, second)].filter(Boolean).join("; ");
    }
    $("rationale").hidden = result.rationale === null;
    $("rationale").replaceChildren(...reasons(result));
    $("letters").textContent = result.rationale === null ? "" : `A is ${a.name}, B is ${b.name}`;
    $("claims").textContent = result.claims_summary === null ? "" : `Held against the pictures: ${result.claims_summary}.` +
      (result.draws.length ? ` The best supported of ${result.comparisons.length + result.draws.length} reasonings.` : "");
    $("measured").hidden = result.measured.length === 0;
    $("measured").tBodies[0].replaceChildren(...result.measured.map((row) => measuredRow(row, turned)));
    $("factors").replaceChildren(...result.factors.map((factor) => make("li", { textContent: factor })));
    $("orders").replaceChildren(...result.comparisons.map((one) => {
      const isAFirst = (one.order === "forward") !== turned;
      const better = one.verdict === null ? one.failure.replaceAll("_", " ")
        : one.verdict.winner === "tie" ? "neither" : (one.verdict.winner === "A") === isAFirst ? "A" : "B";
      const forA = one.probability === null ? "" : units.percent(isAFirst ? one.probability : 1 - one.probability);
      return make("tr", {}, ...[isAFirst ? "A" : "B", better, forA].map((textContent) => make("td", { textContent })));
    }));
    $("consistency").textContent = consistency(result);
    $("asked-twice").hidden = result.comparisons.length === 0;
    $("notes").replaceChildren(...result.notes.map((note) => (
      make("li", { textContent: asking.renamed(note, calledBy([["first", first], ["second", second]])) }))));
    $("provenance").textContent = `${result.model} @ ${result.revision}, ${result.prompt_id}, ${result.mode}`;
    $("verdict").hidden = false;
    announce([$("title").textContent, $("sure").textContent].filter(Boolean).join(". "));
  }

  return { show };
})();
