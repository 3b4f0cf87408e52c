"""Running a wheel: models, a locked-down child, and one small driver an engine."""
