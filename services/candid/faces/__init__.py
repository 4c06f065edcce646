"""Faces: decode, detect, align, measure, embed, and what a score means. Knows nothing of bookings or cases."""
