"""The nearest-neighbour index: a port, its Milvus adapter, and an exact one in memory.

The index *proposes*: it names embeddings that look alike. Whose they are and whether that person still lives is
PostgreSQL's to say, and the index can be rebuilt from there at any time.
"""
