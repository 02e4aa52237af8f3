"""Rewrite rules by subject: plain functions, one equation each, that the passes put together."""
