"""One adapter an engine: what programs ask of it, on top of its own API. They run in the child alone."""
