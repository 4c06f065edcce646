"""Upkeep of the indexes, in bounded steps: filled from the photos, compared with table and bucket, purged, moved."""
