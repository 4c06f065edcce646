"""Casework: the policy, cases, probes and stored searches. What gives a search its legal basis, and what remains of it."""
