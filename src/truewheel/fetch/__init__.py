"""Sources by name, version and hash: fetched, unpacked, patched."""
