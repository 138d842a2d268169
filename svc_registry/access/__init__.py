"""Who is asking: signing keys, tokens, the people who sign in, and the keys of machines."""
