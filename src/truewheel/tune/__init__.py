"""The search for a preset: how an engine is best run on this machine with this model."""
