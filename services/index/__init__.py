"""Upkeep of the index, for operators: no route of the API leads here, only Lambda's Invoke (``candid index``)."""
