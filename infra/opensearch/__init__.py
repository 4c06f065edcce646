"""OpenSearch: the index's mapping, the roles inside a domain, and a real node on this machine."""
