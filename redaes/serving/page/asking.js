"use strict";

// Questions to the server, and what goes wrong with them in plain English, with the names that the user's files have.

const asking = (() => {
  // path: on this server. body: a form, a text that is JSON, or undefined, to get. given: the API key as `key`; as `names`
  // what the user calls the pictures, by what the server calls them; as `bytes` their sizes, by the user's names; the
  // most seconds to wait as `seconds`; a `signal` that calls it off. Throws an Error whose message is for the user, or the
  // AbortError of the signal.
  async function ask(path, body, given = {}) {
    const headers = given.key ? { Authorization: `Bearer ${given.key}` } : {};
    if (typeof body === "string") headers["Content-Type"] = "application/json";
    const clock = new AbortController();
    const stop = () => clock.abort();
    const timer = given.seconds ? setTimeout(stop, 1000 * given.seconds) : undefined;
    given.signal?.addEventListener("abort", stop);
    try {
      const answer = await fetch(path, { method: body === undefined ? "GET" : "POST", body, headers, signal: clock.signal });
      const text = await answer.text();
      return understood(answer, text, given);
    } catch (error) {
      if (error.name === "AbortError" && !given.signal?.aborted) {
        throw new Error(`The server gave no answer within ${units.counted(Math.round(given.seconds), "second")}. Nothing is lost: try again, ` +
          "or choose fewer pictures.");
      }
      if (error instanceof TypeError) {
        throw new Error("The server does not answer. It may have been stopped, or the connection is down. Nothing on this " +
          "page is lost: start the server again, then try again.");
      }
      throw error;
    } finally {
      clearTimeout(timer);
      given.signal?.removeEventListener("abort", stop);
    }
  }

  function understood(answer, text, given) {
    let found;
    try {
      found = JSON.parse(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      found = null;  // a page in HTML, of something that stands before the server, or in its place
    }
    if (answer.ok && found !== null) return found;
    const failure = new Error(inWords(answer, found?.error?.message ?? "", given));
    failure.status = answer.status;
    throw failure;
  }

  function inWords(answer, message, { names = {}, bytes = {} }) {
    const said = renamed(message, names);
    const again = Number(answer.headers.get("Retry-After"));
    const later = again > 0 ? `Try again in ${units.counted(again, "second")}.` : "Try again in a little while.";
    switch (answer.status) {
      case 401: return "This service asks for an API key. Type it into the field “API key” and try again.";
      case 408: return "The pictures did not arrive in time. The connection may be slow: try again, or choose fewer pictures.";
      case 413: return isAboutOne(said, message) ? said : tooLarge(bytes);
      case 429: return `The server is busy with other requests. Nothing is lost. ${later}`;
      case 500: return "The server made a mistake of its own. Its log says more; the pictures are not at fault.";
      case 502: return `The model behind the server gave no usable answer${aside(said)}. ${later}`;
      case 503: return `The server cannot answer now${aside(said)}. ${later}`;
      case 504: return `There was no answer in time${aside(said)}. Choose fewer pictures, or the fast way of asking, and try again.`;
      default: return said || `What answered at this address is not redaes (status ${answer.status}, ` +
        `${answer.headers.get("Content-Type") ?? "no type"}). Another program may be using it; start redaes again and load the page anew.`;
    }
  }

  const aside = (said) => (said ? ` (${said})` : "");

  // A refusal that names a picture, or says how many are too many, rather than how many bytes.
  const isAboutOne = (said, message) => said !== message || /more than \d+ pictures/.test(said);

  function tooLarge(bytes) {
    const named = Object.entries(bytes).sort((one, other) => other[1] - one[1])
      .map(([name, size]) => `${name} (${units.megabytes(size)})`);
    const which = named.length ? `: ${named.slice(0, 5).join(", ")}${named.length > 5 ? ", …" : ""}` : "";
    return `Together, the pictures are too large for the server${which}. Remove some of them, or choose smaller files.`;
  }

  // The server calls pictures by the fields in which they came ("pictures3.jpg"); people do not.
  function renamed(message, names) {
    const known = Object.keys(names).sort((one, other) => other.length - one.length)  // "pictures12.jpg" before "pictures1"
      .map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    if (known.length === 0) return message;
    return message.replace(new RegExp(`(?<![\\w.])(?:${known.join("|")})(?![\\w])`, "g"), (name) => names[name]);
  }

  return { ask, renamed };
})();
