"""Question files line by line, in the form of this project and as others publish theirs; starts at rows.py.

May import `rag.yes_no`.
"""
