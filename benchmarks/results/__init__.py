"""What retrieval is worth to a model that has never seen the archive: one command for every figure, `__main__`."""
