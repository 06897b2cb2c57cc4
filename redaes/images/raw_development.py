"""Camera raw data developed by LibRaw, through rawpy; imported only where a preview is too small.

The same settings for all pictures: the camera's white balance, sRGB with its own curve, and no automatic brightness,
which would hide that one shot of a series is darker than another.
"""

from __future__ import annotations

from typing import Any

import rawpy
from PIL import Image, ImageFile


class DevelopedRaw(ImageFile.ImageFile):
    """A raw file as a Pillow image: the header is read at once, the data is developed in :meth:`load`."""

    format = "camera raw"
    _is_half = False

    def _open(self) -> None:
        try:
            self._raw = rawpy.imread(self.fp)
        except rawpy.LibRawError as error:
            raise ValueError(f"LibRaw: {_words(error)}") from error
        sizes = self._raw.sizes
        self._size = (sizes.iheight, sizes.iwidth) if sizes.flip & 4 else (sizes.iwidth, sizes.iheight)
        self._mode = "RGB"

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:
        """Combine four pixels of the mosaic into one, if the result is large enough."""
        self._is_half = size is not None and self.width // 2 >= size[0] and self.height // 2 >= size[1]

    def load(self) -> Any:
        """Develop the data."""
        if self._im is None:
            try:
                pixels = self._raw.postprocess(
                    use_camera_wb=True,
                    no_auto_bright=True,
                    half_size=self._is_half,
                    output_color=rawpy.ColorSpace.sRGB,
                    output_bps=8,
                    gamma=(2.4, 12.92),
                )
            except rawpy.LibRawError as error:
                raise ValueError(f"LibRaw: {_words(error)}") from error
            self._raw.close()
            developed = Image.fromarray(pixels)
            self.im, self._size = developed.im, developed.size
        return Image.Image.load(self)


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else type(error).__name__
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
