"""Vectors in Qdrant: in a folder (Edge) or on a server, behind one interface.

May import `indexing.records`.
"""
