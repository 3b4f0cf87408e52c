"""Out of many wheels the best one for this machine: judge each, rank those that fit, and say why."""
