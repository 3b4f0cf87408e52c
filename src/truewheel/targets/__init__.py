"""Platforms: tags, compiler targets, and why some are refused."""
