"""From an order to an outcome: the stages in turn, for one profile or for all."""
