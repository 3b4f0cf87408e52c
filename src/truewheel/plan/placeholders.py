"""What stands in a plan for folders and files of one machine, so that the plan is the same on every machine."""

SOURCE_PLACEHOLDER = "{source}"
BUILD_PLACEHOLDER = "{build}"
NOTE_PLACEHOLDER = "{note}"
"""The object with the ELF note."""
CRATES_PLACEHOLDER = "{crates}"
"""Where cargo keeps the sources of crates; a flag that speaks of it is given once for each registry's folder."""
