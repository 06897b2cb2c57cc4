"""The exceptions that Pillow and the libraries below it raise on damaged data."""

from __future__ import annotations

import struct
import zlib

# C decoders and hand-written parsers report damage in different ways; this list comes from mutating files of every
# kind.
DAMAGE = (
    OSError,  # truncated data, decoder errors; includes PIL.UnidentifiedImageError
    SyntaxError,  # how Pillow says "not this format"
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    BufferError,
    MemoryError,  # sizes that no picture has
    struct.error,
    zlib.error,
)
"""What Pillow's readers raise on damaged data."""
