"""Pairs of towers, one for images and one for texts, behind one small interface; `indexing.encoder` opens them."""
