"""The search function: probe to candidates, one to one, and detection. An edge; it sees faces."""
