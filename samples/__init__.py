"""A small openly licensed corpus, its questions, two small models, and the demo that runs on them."""
