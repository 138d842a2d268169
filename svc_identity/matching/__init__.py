"""Who is this face? Milvus proposes, PostgreSQL decides."""
