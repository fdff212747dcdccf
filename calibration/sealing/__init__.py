"""How a certificate stands in its file: its size, its seal, and the signature of whoever vouches for it.

Knows nothing of what it says.
"""
