"""Programs that run inside the locked-down child, with the standard library alone."""
