"""Invented cases, on which a decoder learns to read."""
