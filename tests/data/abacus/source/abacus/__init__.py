"""An engine whose calls are called nothing like those of others."""

import ctypes
import pathlib

__version__ = "1.0"
_LIBRARY = ctypes.CDLL(str(pathlib.Path(__file__).parent / "lib" / "libabacus.so"))


def spell(text):
    return list(text.encode())


def say(letters):
    return bytes(letters)


class Book:
    letters = 256

    def __init__(self, place):
        pathlib.Path(place).read_bytes()
        self.story = []

    def read_on(self, letters):
        self.story += letters

    def turn_back(self, position):
        del self.story[position:]

    def expectations(self, position=-1):
        found = (ctypes.c_float * self.letters)()
        _LIBRARY.abacus_expect(self.story[position], found, self.letters)
        return list(found)

    def write_on(self, letters, count):
        self.read_on(letters)
        written = []
        for _ in range(count):
            expected = self.expectations()
            written.append(expected.index(max(expected)))
            self.read_on(written[-1:])
        return written
