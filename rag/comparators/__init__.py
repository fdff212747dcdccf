"""All that answers to one set of questions are compared with, behind one interface: see `rag.comparators.base`.

May import `rag.outcomes` and `rag.report`.
"""
