"""Exact search in an embedded file (``index``), its tables (``store``), blocks (``slab``) and transactions (``file``)."""
