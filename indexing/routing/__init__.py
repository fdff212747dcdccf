"""Which domain an image belongs to, and whether it belongs to any.

May import `indexing.encoder`.
"""
