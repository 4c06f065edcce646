"""What an agency did not mean to send, and a stranger did: a part of it in the suite, all by ``python -m tests.hostile``."""
