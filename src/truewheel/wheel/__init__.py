"""A wheel as a file: its name, its archive, its record."""
