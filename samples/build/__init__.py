"""Builds the contents of samples/: the openly licensed corpus and the two small models."""
