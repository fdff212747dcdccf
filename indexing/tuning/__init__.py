"""Contrastive fine-tuning of an open_clip encoder on an archive's own images and reports.

A good place to start reading is `tune`.
"""
