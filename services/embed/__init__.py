"""The embed function: photos enrolled and changes followed. An edge: it parses batches, calls ``candid.gallery``, and reports."""
