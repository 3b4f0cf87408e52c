"""One file a check: each reads facts and yields findings; none prints, exits or repairs."""
