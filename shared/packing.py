"""Compresses short JSON texts that are stored by the million, such as the timeline of a job.

PostgreSQL compresses a row only when it is larger than 2 KB, and a text of a few hundred bytes has little in it that
repeats. What repeats is in the other rows: the names of fields and events. A `Packing` has it in a *dictionary*, a
sample of such texts. A second dictionary, the *context*, is what the reader of a row knows anyway: its ids.

A packed text begins with the number of its dictionary, so that texts stay readable when a better one is added. A
dictionary must never be changed, and none removed while rows that need it may exist.
"""

import zlib
from collections.abc import Sequence
from typing import Final

LEVEL: Final = 6
WINDOW_BITS: Final = 12
"""A window of 4 KiB and MEMORY_LEVEL make a compressor cheap to set up, which costs most of the time of a short text:
about 10 µs instead of 60."""
MEMORY_LEVEL: Final = 4
DICTIONARY_LIMIT: Final = 3000
"""Most bytes of a dictionary: with the context it must fit into the window."""


class Packing:
    """Packs texts of one kind. `dictionaries` are all that were ever used, the newest last, at most 255."""

    def __init__(self, dictionaries: Sequence[bytes]) -> None:
        if not 0 < len(dictionaries) < 256 or max(map(len, dictionaries)) > DICTIONARY_LIMIT:
            raise ValueError(f"a packing has 1 to 255 dictionaries of at most {DICTIONARY_LIMIT} bytes")
        self._dictionaries = tuple(dictionaries)
        self._newest = bytes([len(dictionaries)])

    def pack(self, text: str | bytes, *context: str) -> bytes:
        """The text, packed with the newest dictionary. `unpack` needs the same context."""
        dictionary = self._dictionaries[-1] + "".join(context).encode()
        compressor = zlib.compressobj(
            LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, dictionary
        )
        data = text.encode() if isinstance(text, str) else text
        return self._newest + compressor.compress(data) + compressor.flush()

    def unpack(self, packed: bytes, *context: str) -> bytes:
        """The text as UTF-8. Raises ValueError when it is not whole or needs a dictionary of a later version."""
        number = packed[0] if packed else 0
        if not 0 < number <= len(self._dictionaries):
            raise ValueError(f"packed with dictionary {number}, which this version does not have")
        dictionary = self._dictionaries[number - 1] + "".join(context).encode()
        decompressor = zlib.decompressobj(-WINDOW_BITS, dictionary)
        try:
            text = decompressor.decompress(packed[1:])
        except zlib.error as error:
            raise ValueError(f"a packed text is damaged: {error}") from error
        if not decompressor.eof:
            raise ValueError("a packed text is damaged: its end is missing")
        return text
