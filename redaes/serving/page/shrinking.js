"use strict";

// Copies of pictures that are no larger than the model can use: a camera's file of 12 MB becomes one of about 1 MB.

const shrinking = (() => {
  const QUALITY = 0.92;
  let line = Promise.resolve();  // one after another: a decoded photograph takes 100 MB

  // What to send for a file: {blob, from, to}, where from and to are the sizes in pixels, null if it is the file itself.
  function copy(file, pixels) {
    const made = line.then(() => copied(file, pixels));
    line = made.catch(() => undefined);  // whoever asked for this copy is told; the next one is made all the same
    return made;
  }

  async function copied(file, pixels) {
    let picture;
    try {
      picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      return { blob: file, from: null, to: null };  // TIFF, HEIC, raw or damaged: the server may read it, or says why not
    }
    try {
      const share = Math.min(1, Math.sqrt(pixels / (picture.width * picture.height)));
      if (share >= 1 && file.size <= pixels) return { blob: file, from: null, to: null };  // a byte a pixel is much
      const canvas = make("canvas", {
        width: Math.max(1, Math.floor(picture.width * share)), height: Math.max(1, Math.floor(picture.height * share)),
      });
      const context = canvas.getContext("2d");
      context.fillStyle = "#fff";  // under what is transparent, as the server has it
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
      // Some browsers hand out nothing where they fear to be recognised by it.
      if (blob === null || blob.size >= file.size) return { blob: file, from: null, to: null };
      return { blob, from: [picture.width, picture.height], to: [canvas.width, canvas.height] };
    } finally {
      picture.close();
    }
  }

  return { copy };
})();
