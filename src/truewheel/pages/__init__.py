"""A report for people: on a terminal, as Markdown, as one HTML page, and as a table of several."""
