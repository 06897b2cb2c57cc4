"use strict";

// Two pictures, named A and B, beside each other or one over the other with a slider; enlarged and moved together.

// ids: of the two figures. look: what a click on a picture does.
function pairOfPictures(ids, look) {
  const LARGEST = 16;
  const STEP = 1.4;
  const LETTERS = ["A", "B"];
  // zoom: 1 is as large as fits. x, y: what is in the middle, as shares of the frame. split: how much of A is seen.
  const now = { zoom: 1, x: 0.5, y: 0.5, split: 0.5, over: false };
  const sides = ids.map(side);
  const divider = make("div", { className: "divider" });
  const pair = make("div", { className: "pair" }, ...sides.map(({ box }) => box), divider);
  const range = make("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": "How much of A is seen" });
  range.addEventListener("input", () => split(range.value / 100));
  const swipe = pressable("Swipe", () => lay(!now.over), { className: "swipe", title: "Lay B over A, with a slider between them" });
  const smaller = pressable("−", () => enlarge(1 / STEP), { "aria-label": "Smaller, both pictures" });
  const zoom = make("output", { className: "zoom" });
  const larger = pressable("+", () => enlarge(STEP), { className: "larger", "aria-label": "Larger, both pictures" });
  const fit = pressable("Fit", () => enlarge(0), { title: "Both pictures whole" });
  const slide = make("label", { className: "slide" }, make("span", { textContent: "A" }), range, make("span", { textContent: "B" }));
  const tools = make("div", { className: "tools", role: "group", "aria-label": "How the pictures are shown" },
    swipe, smaller, zoom, larger, fit, pressable("Look closely", look, { title: "Both at full size (L)" }));
  lay(false);

  function side(id, n) {
    const image = make("img", { alt: "", draggable: false });
    const button = make("button", { type: "button", className: "look", title: "Look closely: side by side at 100 %" },
      image, make("b", { className: "letter", textContent: LETTERS[n], "aria-hidden": "true" }));
    const name = make("span", { className: "name" });
    const caption = make("figcaption", {}, make("b", { textContent: LETTERS[n] }), " ", name);
    follow(button);
    return { image, button, name, box: make("figure", { id }, button, caption) };
  }

  // The pictures are there when the promise is. files: {name, url}, A first.
  async function show(files) {
    Object.assign(now, { zoom: 1, x: 0.5, y: 0.5 });
    split(0.5);
    await Promise.all(sides.map(({ image, name }, n) => new Promise((done, failed) => {
      name.textContent = files[n].name;
      image.alt = `${LETTERS[n]}: ${files[n].name}`;
      image.onload = done;
      image.onerror = () => failed(new Error(`${files[n].name} cannot be shown by this browser.`));
      image.src = files[n].url;
    }))).finally(() => {
      // One frame for both, so that they lie on each other; the taller picture decides.
      const shapes = sides.map(({ image }) => image.naturalWidth / image.naturalHeight || 1.5);
      pair.style.setProperty("--shape", String(Math.min(...shapes)));
    });
  }

  // letter: of the better picture, or none of them.
  function mark(letter) {
    sides.forEach(({ box, name }, n) => {
      box.className = letter === LETTERS[n] ? "better" : "";
      name.textContent = name.textContent.replace(/ ✓$/, "") + (letter === LETTERS[n] ? " ✓" : "");
    });
  }

  function lay(over) {
    now.over = over;
    pair.classList.toggle("over", over);
    swipe.setAttribute("aria-pressed", String(over));
    slide.hidden = divider.hidden = !over;
    draw();
    if (over) range.focus({ preventScroll: true });
  }

  function split(share) {
    now.split = Math.max(0, Math.min(1, share));
    range.value = Math.round(100 * now.split);
    draw();
  }

  function draw() {
    const whole = 0.5 / now.zoom;
    now.x = Math.max(whole, Math.min(1 - whole, now.x));
    now.y = Math.max(whole, Math.min(1 - whole, now.y));
    const moved = (middle) => `${50 - 100 * middle * now.zoom}%`;
    for (const { image, button } of sides) {
      image.style.transform = `translate(${moved(now.x)}, ${moved(now.y)}) scale(${now.zoom})`;
      button.classList.toggle("enlarged", now.zoom > 1);
    }
    sides[0].button.style.clipPath = now.over ? `inset(0 ${100 - 100 * now.split}% 0 0)` : "";
    sides[1].button.style.clipPath = now.over ? `inset(0 0 0 ${100 * now.split}%)` : "";
    divider.style.left = `${100 * now.split}%`;
    zoom.value = `${Math.round(100 * now.zoom)} %`;
    smaller.disabled = fit.disabled = now.zoom === 1;
    larger.disabled = now.zoom >= LARGEST;
  }

  // across, down: where in the frame the hand is, as shares; what is there stays there. factor 0: whole again.
  function enlarge(factor, across = 0.5, down = 0.5) {
    const next = Math.max(1, Math.min(LARGEST, now.zoom * factor));
    const stays = 1 / now.zoom - 1 / next;
    Object.assign(now, { x: now.x + (across - 0.5) * stays, y: now.y + (down - 0.5) * stays, zoom: next });
    draw();
  }

  function follow(button) {
    const fingers = new Map();
    let travelled = 0;
    const apart = () => {
      const [one, other] = [...fingers.values()];
      return Math.hypot(one.x - other.x, one.y - other.y);
    };
    const at = (event) => {
      const box = button.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, box];
    };
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (fingers.size === 0) travelled = 0;
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    button.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const before = fingers.size === 2 ? apart() : 0;
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      travelled += Math.hypot(event.clientX - last.x, event.clientY - last.y);
      if (travelled > 4) button.setPointerCapture(event.pointerId);
      const [across, down, box] = at(event);
      if (fingers.size === 2) enlarge(before > 0 ? apart() / before : 1, across, down);
      else if (now.zoom > 1) {
        now.x -= (event.clientX - last.x) / box.width / now.zoom;
        now.y -= (event.clientY - last.y) / box.height / now.zoom;
        draw();
      } else if (now.over) split(across);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      button.addEventListener(kind, (event) => fingers.delete(event.pointerId));
    }
    button.addEventListener("click", (event) => {
      button.blur();  // or a key that is meant for the page would press it again
      if (event.detail === 0 || travelled <= 4) look();  // a drag ends in a click, too
    });
    // A page whose wheel enlarges pictures cannot be scrolled past them: only once they are larger, or with Ctrl, which
    // is also what a pinch on a touchpad arrives as.
    button.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && now.zoom === 1) return;
      event.preventDefault();
      const [across, down] = at(event);
      enlarge(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 150), across, down);
    }, { passive: false });
  }

  return { pair, tools: make("div", { className: "hands" }, slide, tools), show, mark };
}
