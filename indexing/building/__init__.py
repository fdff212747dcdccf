"""Building an index, or bringing one up to date: read, embed, write, finish.

May import every other room of `indexing`; none of them imports this one.
"""
