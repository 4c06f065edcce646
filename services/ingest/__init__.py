"""The ingest function: bookings over HTTP. An edge: it parses, calls ``candid.gallery.intake``, and maps the answer."""
