"""Ask a child what this system lets it give up, without a wheel."""

from __future__ import annotations

from pathlib import Path

from truewheel.child.confinement import UNCONFINED, Confinement
from truewheel.child.ending import judge
from truewheel.child.events import Script, read_said
from truewheel.child.installed import Environment, own_interpreter
from truewheel.child.limits import TELL
from truewheel.child.request import Request, place
from truewheel.child.start import Confined, scratch_in
from truewheel.scratch import SCRATCH


def find_confinement() -> Confinement:
    """Return what is in force for children on this system."""
    with SCRATCH.folder("truewheel-doctor") as folder:
        environment = Environment(own_interpreter(), folder, folder, folder, required=UNCONFINED)
        with scratch_in(environment) as scratch:
            request = Request(program="account", **place(environment, scratch, TELL))
            done = Confined(environment, scratch, TELL).run(request)
            return judge((), read_said(Path(request.events), Script(())), done).confinement
