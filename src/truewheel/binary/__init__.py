"""Reading ELF files: what they need, carry and claim."""
