"""Backends: a planned graph to an artifact. They never import each other."""
