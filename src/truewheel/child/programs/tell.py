"""Load one library that can tell what it was compiled with, and let it tell."""

import ctypes
import os

_FUNCTION = "llama_print_system_info"


def ask(path):
    """Return what a library says of itself."""
    function = getattr(ctypes.CDLL(path, mode=os.RTLD_LAZY), _FUNCTION)
    function.restype = ctypes.c_char_p
    return {"text": function().decode("utf-8", "replace")}


def work(run):
    run.step("tell", ask, run.request["library"])
