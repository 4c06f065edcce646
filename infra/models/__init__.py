"""Fetching the default model's weights and the sample portraits, once, checked by digest."""
