"""Let pip unpack wheels into a tree. Nothing of them is run, and this process is locked down before pip reads them.

There is no interpreter in the tree: pip is told that the tree is where this one keeps its packages.
"""

import importlib.util
import os
import socket
import subprocess  # noqa: TID251 - so that pip can start nothing
import sys

_OPTIONS = (
    "--isolated",
    "--disable-pip-version-check",
    "--no-input",
    "--no-cache-dir",
    "--no-color",
    "install",
    "--no-index",
    "--only-binary",
    ":all:",
    "--no-compile",
    "--no-warn-script-location",
    "--root-user-action",
    "ignore",
)


RUNS_PACKAGES = False
"""While pip unpacks packages, none of them is in Python's path."""


class _PipAlone:
    """Finds pip, and none of the packages beside it: they would count as installed."""

    def __init__(self, folder):
        self.folder = folder

    def find_spec(self, name, path=None, target=None):
        if name != "pip":
            return None
        begin = os.path.join(self.folder, "__init__.py")
        return importlib.util.spec_from_file_location(name, begin, submodule_search_locations=[self.folder])


def refuse_processes_and_sockets():
    """Tell pip in words what the filter would end it for: it asks programs about the system, and tries a socket."""

    def refuse(*_arguments, **_options):
        raise PermissionError("no process is started here")

    subprocess.Popen.__init__ = refuse
    socket.has_ipv6 = False


def install(request):
    """Run pip to its end."""
    sys.prefix = sys.exec_prefix = request["tree"]
    # It looks at the prefix when it is imported.
    import sysconfig

    if os.path.realpath(sysconfig.get_path("purelib")) != os.path.realpath(request["site"]):
        raise AssertionError("this Python keeps packages in " + sysconfig.get_path("purelib"))
    refuse_processes_and_sockets()
    sys.meta_path.insert(0, _PipAlone(request["pip"]))
    from pip._internal.cli.main import main

    status = main([*_OPTIONS, "--find-links", request["links"], *request["requirements"]])
    if status:
        raise RuntimeError("pip left with exit code %d" % status)


def work(run):
    run.step("install", install, run.request)
