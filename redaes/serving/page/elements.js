"use strict";

// Elements of the pages. Words from files and from the model reach them as text only: nothing here writes HTML.

const $ = (id) => document.getElementById(id);

function make(name, fields = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(fields)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function pressable(text, act, fields = {}) {
  const made = make("button", { type: "button", textContent: text, ...fields });
  made.addEventListener("click", act);
  return made;
}
