"""Reports of similar cases: questions are routed to a domain, and cases found there; also LlamaIndex's interfaces.

May import `rag.questions`.
"""
