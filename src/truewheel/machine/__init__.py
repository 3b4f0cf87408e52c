"""The compilers that are here, and the tools that can be had from the package index."""
