"""Load one library that can tell what it was compiled with, and let it tell.

Run as `python -I -S -B system_info.py`. Reads a JSON request on standard input and writes the text, or why there is
none, as one JSON line to the file that it names. The process gives up starting others and opening sockets first.
"""

import ctypes
import json
import os
import sys

_FUNCTION = "llama_print_system_info"


def main():
    request = json.loads(sys.stdin.read())
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    import lockdown

    sys.path.remove(here)
    with open(request["events"], "w") as events:
        lockdown.limit(request["cpu-seconds"], request["memory-bytes"], request["file-bytes"])
        reason = lockdown.forbid()
        if reason:
            events.write(json.dumps({"failure": "the child cannot lock itself down: " + reason}) + "\n")
            return
        try:
            library = ctypes.CDLL(request["library"], mode=os.RTLD_LAZY)
            function = getattr(library, _FUNCTION)
            function.restype = ctypes.c_char_p
            text = function().decode("utf-8", "replace")
        except Exception as error:
            events.write(json.dumps({"failure": "%s: %s" % (type(error).__name__, error)}) + "\n")
        else:
            events.write(json.dumps({"text": text}) + "\n")


if __name__ == "__main__":
    main()
