"""Carrying a plan out: environment, compile cache, backend, and the evidence that is kept."""
