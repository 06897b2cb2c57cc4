"use strict";

// Teaching on a folder's pictures: the server beside them chooses, and keeps every answer as it comes.

(async () => {
  async function ask(path, body) {
    let answer;
    try {
      answer = await fetch(path, body === undefined ? {} : {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      });
    } catch (error) {
      throw new Error(`the server does not answer (${error.message}); nothing is lost: start it again and go on`);
    }
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error.message);
    return found;
  }

  try {
    const { asked_by: askedBy, keep, names, state } = await ask("about");
    document.getElementById("model").textContent = `${askedBy}; answers are kept in ${keep}`;
    await teach.begin({
      state: async () => state,
      add: (answer) => ask("answers", answer),
      undo: () => ask("undo", {}),
      picture: (_, id) => ({ name: names[id], url: `pictures/${id}`, small: `small/${id}` }),
    });
  } catch (error) {
    document.getElementById("error").textContent = error.message;
  }
})();
