"""Who asks: tokens, the principal they carry, and what each role may do."""
