"""`truewheel doctor`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json


@click.command("doctor", short_help=VERBS["doctor"])
@json_option
def command(as_json: bool) -> None:
    """Show this CPU, its compilers and tools, and what can be built here, with the reason where it cannot.

    Each compiler is tested: it compiles three small programs for exactly this CPU, and they are run.
    Nothing is fetched.

    \b
    Example:
      truewheel doctor --json
    """
    from truewheel.child.emulation import emulated_here
    from truewheel.console import Console
    from truewheel.machine.doctor import diagnose

    console = Console()
    found = diagnose(emulated_here(), console.say)
    if as_json:
        print_json(console, found)
        return
    host = found.host
    lines = [
        f"CPU        {host.model} ({host.vendor}), {host.level}",
        f"features   {' '.join(host.features)}",
        f"cores      {host.physical_cores} physical, {host.logical_cores} logical, {host.usable_cores} usable here",
        f"memory     {host.memory_bytes >> 20} MiB, {found.memory_available >> 20} MiB available",
        f"disk       {found.disk_free >> 30} GiB free at the caches",
        f"system     {host.system} {host.machine}, {host.libc}",
        f"caches     {found.cache}",
        f"wheelhouse {found.wheelhouse}",
        "",
    ]
    lines += [_compiler_line(tried) for tried in found.compilers] or ["compiler   none on this machine"]
    lines += [f"tool       {tool.name} {tool.version}: {tool.origin} {tool.path}".rstrip() for tool in found.tools]
    lines.append("")
    for cell in found.cells:
        verdict = "can build" if cell.buildable else "cannot build"
        lines.append(f"{verdict:<12} {cell.engine} {cell.profile}: {cell.build}; {cell.proof}")
    lines += [f"problem    {problem}" for problem in found.problems]
    console.data("\n".join(lines))


def _compiler_line(tried: object) -> str:
    from truewheel.machine.probe import Toolchain

    assert isinstance(tried, Toolchain)
    if tried.refusal:
        return f"compiler   {tried.kind} {tried.version}: passed over: {tried.refusal} ({tried.cc})"
    unused = f", leaves unused: {' '.join(tried.unused)}" if tried.unused else ""
    cpu = tried.native_cpu or "this CPU"
    return f"compiler   {tried.kind} {tried.version}: fit, sees {cpu}{unused} ({tried.cc})"
