"""What failed for good on its way, and waits in a queue of its own for an operator: why it did, and the way back or out."""
