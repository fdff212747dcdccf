"""An adapter's files, whether they are whole and for which weights, and how a chat template writes an answer.

Imports no other room of `rag`.
"""
