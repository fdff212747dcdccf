"""What stands between an OpenAI-compatible server and `rag.models.openai`: its address, its replies, its options."""
