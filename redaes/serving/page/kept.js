"use strict";

// What a reload must not lose: the pictures as they were sent, the answers about them, and what was decided. They are
// kept by the browser, for this tab alone, for at most a day, until they are cleared.

const kept = (() => {
  const DAY = 24 * 60 * 60 * 1000;
  let token = null;  // of this tab
  let opened = null;
  let line = Promise.resolve();  // what is written is written in order

  const done = (request) => new Promise((good, bad) => {
    request.onsuccess = () => good(request.result);
    request.onerror = () => bad(request.error);
  });

  const ended = (change) => new Promise((good, bad) => {
    change.oncomplete = () => good();
    change.onabort = change.onerror = () => bad(change.error ?? new Error("nothing could be written"));
  });

  const all = (owner) => IDBKeyRange.bound(`${owner}/`, `${owner}/\uffff`);

  async function open() {
    token = sessionStorage.getItem("redaes-tab");
    if (token === null) {
      token = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
      sessionStorage.setItem("redaes-tab", token);
    }
    const request = indexedDB.open("redaes-page", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("pictures");
      request.result.createObjectStore("visits");
    };
    const base = await done(request);
    const change = base.transaction(["pictures", "visits"], "readwrite");
    const visits = change.objectStore("visits");
    for (const owner of await done(visits.getAllKeys())) {
      const { at } = await done(visits.get(owner));
      if (Date.now() - at < DAY) continue;
      visits.delete(owner);
      change.objectStore("pictures").delete(all(owner));
    }
    await ended(change);
    return base;
  }

  const base = () => (opened ??= open());

  // What this tab kept last, with `blobs` by the keys of the pictures; null: nothing.
  async function read() {
    const look = (await base()).transaction(["pictures", "visits"]);
    const visit = await done(look.objectStore("visits").get(token));
    if (visit === undefined) return null;
    const pictures = look.objectStore("pictures");
    const [keys, blobs] = await Promise.all([done(pictures.getAllKeys(all(token))), done(pictures.getAll(all(token)))]);
    return { ...visit.state, blobs: new Map(keys.map((key, n) => [key.slice(token.length + 1), blobs[n]])) };
  }

  function after(work) {
    const made = line.then(work);
    line = made.catch(() => undefined);  // whoever asked for it is told; the next one is tried all the same
    return made;
  }

  // state: may hold all that JSON may. pictures: blobs by key; only those that are new are written.
  const write = (state, pictures) => after(async () => {
    const change = (await base()).transaction(["pictures", "visits"], "readwrite");
    const stored = change.objectStore("pictures");
    const there = new Set(await done(stored.getAllKeys(all(token))));
    for (const [key, blob] of pictures) {
      if (!there.delete(`${token}/${key}`)) stored.put(blob, `${token}/${key}`);
    }
    for (const key of there) stored.delete(key);
    change.objectStore("visits").put({ at: Date.now(), state }, token);
    await ended(change);
  });

  const forget = () => after(async () => {
    const change = (await base()).transaction(["pictures", "visits"], "readwrite");
    change.objectStore("pictures").delete(all(token));
    change.objectStore("visits").delete(token);
    await ended(change);
  });

  return { read, write, forget };
})();
