"""Image files of any kind to upright 8-bit RGB: where they may lie, what they may hold, and how each format is decoded.

May import the shared package only.
"""
