"""A question file through a system: answers at every number of contexts, what each costs, and what is kept.

May import `rag.retrieval`, `rag.models`, and the modules beside these rooms that a question and an answer are made of.
"""
