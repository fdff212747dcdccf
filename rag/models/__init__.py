"""Multimodal language models behind one interface: transformers, or any OpenAI-compatible server.

May import the shared package only.
"""
