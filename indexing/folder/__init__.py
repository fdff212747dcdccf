"""The index folder: its manifest, its ledger, its lock, what its first build fixed, and the swap for a rebuilt one.

May import `indexing.stores`, `indexing.images`, `indexing.encoder` and `indexing.records`.
"""
