"use strict";

// Two pictures next to each other, or one over the other with a slider, moved and enlarged together.
// Names reach the page as text only: nothing here writes HTML.

const closer = (() => {
  const LARGEST = 16;
  const STEP = 1.25;
  let parts = null;
  let pictures = [];
  let shown = [0, 0];
  // zoom: device pixels for a pixel of the picture; null: as large as fits. x, y: what is in the middle, as shares.
  const now = { zoom: null, x: 0.5, y: 0.5, split: 0.5, over: false };

  function make(name, fields = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(fields)) {
      if (key in element) element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  function button(text, label, act) {
    const element = make("button", { type: "button", textContent: text, title: label });
    element.setAttribute("aria-label", label);
    element.addEventListener("click", act);
    return element;
  }

  function pane(side) {
    const image = make("img", { alt: "", draggable: false });
    const view = make("div", { className: "view", tabIndex: 0 }, image);
    view.setAttribute("role", "group");
    const caption = make("div", { className: "caption" });
    image.addEventListener("load", draw);
    image.addEventListener("error", () => failed(side));
    follow(view);
    return { box: make("div", { className: "pane" }, view, caption), view, image, caption };
  }

  function build() {
    const sides = [pane(0), pane(1)];
    const choices = [0, 1].map((side) => {
      const choice = make("select", { title: side ? "Picture on the right" : "Picture on the left" });
      choice.setAttribute("aria-label", choice.title);
      choice.addEventListener("change", () => put(side, choice.selectedIndex));
      return choice;
    });
    const range = make("input", { type: "range", min: 0, max: 100, value: 50 });
    range.setAttribute("aria-label", "How much of the left picture is seen");
    range.addEventListener("input", () => { now.split = range.value / 100; draw(); });
    const slide = make("span", { className: "slide" }, range);
    const zoom = make("output", { className: "zoom" });
    const over = button("Slider", "One over the other, with a slider (S)", () => lay(!now.over));
    const divider = make("div", { className: "divider" });
    const stage = make("div", { className: "stage" }, ...sides.map((side) => side.box), divider);
    const dialog = make("dialog", { id: "closer" },
      make("div", { className: "tools" },
        choices[0], choices[1],
        button("‹", "Previous picture on the right (Page up)", () => put(1, shown[1] - 1)),
        button("›", "Next picture on the right (Page down)", () => put(1, shown[1] + 1)),
        button("−", "Smaller (-)", () => enlarge(1 / STEP)), zoom, button("+", "Larger (+)", () => enlarge(STEP)),
        button("100 %", "One pixel of the picture on one of the screen (1)", () => { now.zoom = 1; draw(); }),
        button("Fit", "The whole picture (0)", fit),
        over, slide, button("Close", "Close (Escape)", () => dialog.close())),
      stage);
    dialog.setAttribute("aria-label", "Two pictures, closely");
    dialog.querySelector(".tools").lastElementChild.className = "close";
    dialog.addEventListener("keydown", typed);
    dialog.addEventListener("close", () => {
      for (const side of sides) side.image.removeAttribute("src");  // large pictures take much memory
    });
    document.body.append(dialog);
    new ResizeObserver(draw).observe(stage);
    parts = { dialog, stage, sides, choices, range, slide, zoom, over, divider };
  }

  // --- what is shown ------------------------------------------------------------------------------------

  function open(list, left, right) {
    if (parts === null) build();
    pictures = list;
    for (const choice of parts.choices) {
      choice.replaceChildren(...list.map((one) => make("option", { textContent: one.name })));
    }
    Object.assign(now, { zoom: 1, x: 0.5, y: 0.5, split: 0.5 });
    parts.range.value = 50;
    lay(now.over);
    parts.dialog.showModal();
    put(0, left);
    put(1, right);
    parts.sides[0].view.focus();
  }

  function put(side, index) {
    shown[side] = Math.max(0, Math.min(pictures.length - 1, index));
    const one = pictures[shown[side]];
    const { image, caption, view } = parts.sides[side];
    parts.choices[side].selectedIndex = shown[side];
    image.alt = one.name;
    view.setAttribute("aria-label", `${one.name}; arrow keys move both pictures`);
    const link = make("a", { href: one.url, target: "_blank", rel: "noopener", textContent: one.name });
    caption.replaceChildren(link, ...(one.caption ? [` · ${one.caption}`] : []));
    image.dataset.small = "";
    image.src = one.url;
    draw();
  }

  function failed(side) {
    const { image, caption } = parts.sides[side];
    const one = pictures[shown[side]];
    if (!image.getAttribute("src") || image.dataset.small) return;
    image.dataset.small = "yes";
    const why = make("span", { className: "trouble" },
      " · the browser cannot show this file (moved, or of a kind such as TIFF or raw); this is the small picture");
    caption.append(why);
    if (one.small) image.src = one.small;
  }

  function lay(over) {
    now.over = over;
    parts.stage.classList.toggle("over", over);
    parts.over.setAttribute("aria-pressed", String(over));
    parts.slide.hidden = !over;
    draw();
  }

  // --- where it lies ------------------------------------------------------------------------------------

  const fitting = ({ view, image }) =>
    Math.min(view.clientWidth / image.naturalWidth, view.clientHeight / image.naturalHeight) || 0;

  function scales() {
    const found = parts.sides.map((side) => (now.zoom === null ? fitting(side) : now.zoom / devicePixelRatio));
    const widths = parts.sides.map((side) => side.image.naturalWidth);
    const small = parts.sides.map((side) => Boolean(side.image.dataset.small));
    // Both are as wide where they lie on each other, and where one is only the small picture.
    if (widths[0] && widths[1] && (now.over || (now.zoom !== null && small[0] !== small[1]))) {
      const other = small[0] && !small[1] ? 0 : 1;
      found[other] = found[1 - other] * widths[1 - other] / widths[other];
    }
    return found;
  }

  function draw() {
    if (parts === null || !parts.dialog.open) return;
    scales().forEach((scale, n) => {
      const { view, image } = parts.sides[n];
      if (!image.naturalWidth) return;
      const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
      // On whole pixels of the screen, or a picture at 100 % would be softened.
      const at = (middle, whole, all) =>
        Math.round((whole <= all ? (all - whole) / 2 : all / 2 - middle * whole) * devicePixelRatio) / devicePixelRatio;
      image.style.transform = `translate(${at(now.x, width, view.clientWidth)}px, ` +
        `${at(now.y, height, view.clientHeight)}px) scale(${scale})`;
      image.classList.toggle("magnified", scale * devicePixelRatio >= 2);
    });
    const first = parts.sides[0];
    const split = now.over ? now.split * first.view.clientWidth : 0;
    parts.sides[1].view.style.clipPath = now.over ? `inset(0 0 0 ${split}px)` : "";
    parts.divider.style.left = `${split - 1}px`;
    parts.divider.style.height = `${first.view.clientHeight}px`;
    parts.zoom.value = `${Math.round(100 * scales()[0] * devicePixelRatio)} %`;
  }

  function enlarge(factor, x = now.x, y = now.y) {
    const old = now.zoom ?? scales()[0] * devicePixelRatio;
    const next = Math.max(0.02, Math.min(LARGEST, old * factor));
    const share = 1 - old / next;  // what is under the pointer stays there
    now.zoom = next;
    if (next > old) [now.x, now.y] = [now.x + (x - now.x) * share, now.y + (y - now.y) * share];
    pan(0, 0);
  }

  function fit() {
    Object.assign(now, { zoom: null, x: 0.5, y: 0.5 });
    draw();
  }

  // By so many pixels of the page; the middle stays in the picture.
  function pan(across, down) {
    const { image, view } = parts.sides[0];
    const scale = scales()[0];
    const moved = (middle, by, whole, all) => {
      const half = Math.min(0.5, all / 2 / whole);
      return Math.max(half, Math.min(1 - half, middle - by / whole));
    };
    if (image.naturalWidth && scale) {
      now.x = moved(now.x, across, image.naturalWidth * scale, view.clientWidth);
      now.y = moved(now.y, down, image.naturalHeight * scale, view.clientHeight);
    }
    draw();
  }

  // --- hands --------------------------------------------------------------------------------------------

  function follow(view) {
    const fingers = new Map();
    let slides = false;
    let swipe = null;  // where a finger began, while the whole picture is seen
    const apart = () => {
      const [a, b] = [...fingers.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };
    view.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      view.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const inside = event.clientX - view.getBoundingClientRect().left;
      swipe = event.pointerType === "touch" && fingers.size === 1 && now.zoom === null && !now.over ? event : null;
      slides = now.over && fingers.size === 1 && Math.abs(inside - now.split * view.clientWidth) < 20;
    });
    view.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const before = fingers.size === 2 ? apart() : 0;
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (slides) {
        const box = view.getBoundingClientRect();
        now.split = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
        parts.range.value = 100 * now.split;
        draw();
      } else if (fingers.size === 2 && before > 0) enlarge(apart() / before);
      else pan(event.clientX - last.x, event.clientY - last.y);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      view.addEventListener(kind, (event) => {
        fingers.delete(event.pointerId);
        const across = swipe === null || kind === "pointercancel" ? 0 : event.clientX - swipe.clientX;
        const isLevel = swipe !== null && Math.abs(across) > 2 * Math.abs(event.clientY - swipe.clientY);
        if (Math.abs(across) > 50 && isLevel && now.zoom === null) put(1, shown[1] + (across < 0 ? 1 : -1));
        swipe = null;
      });
    }
    view.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = view.getBoundingClientRect();
      const { image } = parts.sides[0];
      const scale = scales()[0];
      const share = (middle, from, whole, natural) => middle + (from - whole / 2) / (natural * scale || 1);
      enlarge(event.deltaY < 0 ? STEP : 1 / STEP,
        share(now.x, event.clientX - box.left, box.width, image.naturalWidth),
        share(now.y, event.clientY - box.top, box.height, image.naturalHeight));
    }, { passive: false });
  }

  const KEYS = {
    ArrowLeft: () => pan(60, 0),
    ArrowRight: () => pan(-60, 0),
    ArrowUp: () => pan(0, 60),
    ArrowDown: () => pan(0, -60),
    PageUp: () => put(1, shown[1] - 1),
    PageDown: () => put(1, shown[1] + 1),
    "+": () => enlarge(STEP),
    "=": () => enlarge(STEP),
    "-": () => enlarge(1 / STEP),
    1: () => { now.zoom = 1; draw(); },
    0: fit,
    s: () => lay(!now.over),
  };

  function typed(event) {
    event.stopPropagation();  // the page behind has keys of its own
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  }

  return { open };
})();
