"""What can go wrong while starting or stopping, as a sentence for whoever typed the command."""

from __future__ import annotations


class LocalError(Exception):
    """The start can't go on. The text is the sentence to show; no traceback belongs beside it."""
