"use strict";

// The tables of a report: sorted by their headings, pairs of pictures filtered and shown closely. What is chosen stands
// in the fragment of the address, so that whoever gets the address sees the same rows. Nothing here writes HTML.

(() => {
  const MISSING = new Set(["", "–", "—"]);

  // --- sorting ------------------------------------------------------------------------------------------

  const shownIn = (cell) => (cell ? cell.dataset.value ?? cell.textContent.trim() : "");

  // The number that a cell begins with ("83 % [80, 90]", "−1.2 points", "2,000"); NaN: it begins with none.
  function numberIn(text) {
    const found = text.replaceAll("−", "-").replace(/(\d),(?=\d{3}(\D|$))/g, "$1").match(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?![\w.])/i);
    return found ? Number(found[0]) : NaN;
  }

  // The rows in the order that a heading asks for, which is marked there; no direction: as they were.
  function sorted(table, all, heading, direction) {
    let rows = all;
    if (direction) {
      const column = heading.cellIndex;
      const keys = new Map(rows.map((row) => [row, shownIn(row.cells[column])]));
      const there = rows.filter((row) => !MISSING.has(keys.get(row)));
      const numbers = new Map(there.map((row) => [row, numberIn(keys.get(row))]));
      const areNumbers = there.every((row) => !Number.isNaN(numbers.get(row)));
      const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
      const sign = direction === "descending" ? -1 : 1;
      there.sort((a, b) => sign * (areNumbers ? numbers.get(a) - numbers.get(b) : words.compare(keys.get(a), keys.get(b))));
      rows = [...there, ...rows.filter((row) => MISSING.has(keys.get(row)))];  // what is not known comes last
    }
    for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
    if (direction) heading.setAttribute("aria-sort", direction);
    return rows;
  }

  const NEXT = { ascending: "descending", descending: "" };

  function makeSortable(table, all, onSort) {
    for (const heading of table.tHead.rows[0].cells) {
      if (!heading.textContent.trim() || heading.hasAttribute("data-unsorted")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sorter";
      button.title = "Sort: up, down, as it was";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        onSort(sorted(table, all, heading, NEXT[heading.getAttribute("aria-sort")] ?? "ascending"));
      });
    }
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const rows = table.tHead ? [...table.tBodies[0].rows] : [];
    if (rows.length > 1) makeSortable(table, rows, (inOrder) => table.tBodies[0].append(...inOrder));
  }

  // A table that is wider than the window can be moved by the keyboard, and says what it is.
  function nameScrollers() {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth <= box.clientWidth) continue;
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      const heading = [...document.querySelectorAll("h1, h2, h3, figcaption")]
        .filter((one) => one.compareDocumentPosition(box) & Node.DOCUMENT_POSITION_FOLLOWING).pop();
      box.setAttribute("aria-label", heading ? heading.textContent.trim() : "Table");
    }
  }
  nameScrollers();
  addEventListener("resize", nameScrollers);

  // --- pairs of pictures --------------------------------------------------------------------------------

  const table = document.getElementById("pair-table");
  if (!table) return;
  const form = document.getElementById("pair-filters");
  const told = form.querySelector("output");
  const further = document.getElementById("further-pairs").content.querySelector("table");
  const rows = [...table.tBodies[0].rows, ...further.tBodies[0].rows];
  const choices = [...form.elements].filter((one) => one.name);
  const presets = [...form.querySelectorAll("button[data-set]")];
  const headings = [...table.tHead.rows[0].cells];
  const KEYS = new Set([...choices.map((one) => one.name), "sort"]);
  const STEP = 100;  // rows that are in the page at first, and come with each step: thousands make it slow
  const more = document.createElement("button");
  let order = rows;
  let fitting = rows;
  let texts = null;

  function fits(row, n) {
    return choices.every((choice) => {
      if (!choice.value) return true;
      if (choice.type !== "search") return row.dataset[choice.name] === choice.value;
      texts ??= rows.map((one) => one.textContent.toLowerCase());
      return choice.value.toLowerCase().split(/\s+/).every((word) => texts[n].includes(word));
    });
  }

  function lay() {
    table.tBodies[0].replaceChildren(...fitting.slice(0, STEP));
    count();
  }

  function count() {
    const left = fitting.length - table.tBodies[0].rows.length;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(STEP, left)} more of ${left}`;
    for (const image of table.querySelectorAll("img[data-picture]")) near.observe(image);
  }

  function grow(step) {
    const there = table.tBodies[0].rows.length;
    table.tBodies[0].append(...fitting.slice(there, there + step));
    count();
  }

  function filter() {
    const isFitting = new Map(rows.map((row, n) => [row, fits(row, n)]));
    fitting = order.filter((row) => isFitting.get(row));
    lay();
    const shown = fitting.length;
    told.value = `${shown} of ${rows.length} ${form.dataset.rows}${shown ? "" : ": none has all of this"}`;
    for (const preset of presets) {
      const wanted = new URLSearchParams(preset.dataset.set);
      const isSet = choices.every((choice) => choice.type === "search" || choice.value === (wanted.get(choice.name) ?? ""));
      preset.setAttribute("aria-pressed", String(isSet));
    }
  }

  function keep() {
    const state = new URLSearchParams();
    for (const choice of choices) if (choice.value) state.set(choice.name, choice.value);
    const by = headings.find((heading) => heading.hasAttribute("aria-sort"));
    if (by) state.set("sort", (by.getAttribute("aria-sort") === "descending" ? "-" : "") + by.dataset.key);
    history.replaceState(null, "", `#${state}`);
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    if (![...state.keys()].every((key) => KEYS.has(key))) return false;  // the name of a place in the page
    for (const choice of choices) {
      choice.value = state.get(choice.name) ?? "";
      if (choice.selectedIndex === -1) choice.value = "";  // a link from a report with other rows
    }
    const key = state.get("sort") ?? "";
    const heading = headings.find((one) => one.dataset.key && one.dataset.key === key.replace(/^-/, ""));
    order = sorted(table, rows, heading ?? headings[0], heading ? (key.startsWith("-") ? "descending" : "ascending") : "");
    filter();
    if (location.hash.length > 1) document.getElementById("pairs").scrollIntoView();
    return true;
  }

  // --- pictures -----------------------------------------------------------------------------------------

  // A browser delays pictures of the net only, not those that stand in the page itself: 4,000 of them.
  function put(image) {
    image.src = document.getElementById(image.dataset.picture).textContent;
    image.removeAttribute("data-picture");
  }

  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      put(target);
    }
  }, { rootMargin: "600px" });
  addEventListener("beforeprint", () => {
    grow(rows.length);
    for (const image of table.querySelectorAll("img[data-picture]")) put(image);
  });

  makeSortable(table, rows, (inOrder) => {
    order = inOrder;
    filter();
    keep();
  });
  more.type = "button";
  more.className = "more";
  more.addEventListener("click", () => grow(STEP));
  table.after(more);
  new IntersectionObserver((seen) => { if (seen.pop().isIntersecting) grow(STEP); }, { rootMargin: "1000px" }).observe(more);
  form.hidden = false;
  form.addEventListener("input", () => { filter(); keep(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { filter(); keep(); }));
  for (const preset of presets) {
    preset.addEventListener("click", () => {
      const wanted = new URLSearchParams(preset.getAttribute("aria-pressed") === "true" ? "" : preset.dataset.set);
      for (const choice of choices) if (choice.type !== "search") choice.value = wanted.get(choice.name) ?? "";
      filter();
      keep();
    });
  }
  addEventListener("hashchange", recall);
  if (!recall()) filter();

  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.look");
    if (!button) return;
    const images = [...button.querySelectorAll("img")];
    for (const image of images) if (image.dataset.picture) put(image);
    const pictures = images.map((image) => ({ name: image.alt, url: image.src, small: image.src }));
    if (pictures.length === 2) closer.open(pictures, 0, 1);
  });
})();
