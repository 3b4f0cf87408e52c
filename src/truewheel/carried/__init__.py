"""What is put into wheels: guard, threads that fit, presets. The standard library alone."""
