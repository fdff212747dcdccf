"""A model's files: found by the name that the user gives, whole, and how their chat template writes an answer.

Imports no other room of `rag`.
"""
