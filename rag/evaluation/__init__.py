"""Policies and ways to retrieve, side by side, beside answers that need no model.

May import `rag.outcomes` and `rag.retrieval`.
"""
