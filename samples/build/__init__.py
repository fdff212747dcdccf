"""Builds what stands in samples/: the openly licensed corpus and the two small models."""
