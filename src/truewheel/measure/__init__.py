"""Measuring: interleaved runs of several engines on one model, beside what the machine can do at most."""
