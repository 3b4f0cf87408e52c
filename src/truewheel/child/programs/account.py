"""Do nothing but lock down: what is in force is told before a program begins."""

RUNS_PACKAGES = False


def work(run):
    del run
