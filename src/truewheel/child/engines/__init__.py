"""Programs that measure one engine each inside a locked-down child, with the standard library alone."""
