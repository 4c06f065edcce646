"""The command line, ``candid``. It speaks the public HTTP API alone; no rule of the gallery lives here.

``commands`` does (one file a command), ``rendering`` shows, ``importing`` is the machinery of ``candid import``.
"""
