"""The casework function: cases, upload links for probes, and stored searches. An edge; it sees no face."""
