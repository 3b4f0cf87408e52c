"""One model through every variant of a wheel, and the answers compared."""
