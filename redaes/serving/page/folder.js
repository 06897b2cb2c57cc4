"use strict";

// Teaching on a folder's pictures: the server beside them chooses, and keeps every answer as it comes.

(async () => {
  const ask = (path, body) => asking.ask(path, body === undefined ? undefined : JSON.stringify(body));

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
