"""GGUF headers, shapes, made-up and pinned models."""
