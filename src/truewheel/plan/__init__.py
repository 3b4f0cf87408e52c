"""The pure function from recipe, profile, compiler and machine to a plan, and its digest."""
