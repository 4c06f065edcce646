"""A node with OpenSearch's own security plugin: TLS, users, roles. What the roles of a domain allow is tested against it."""
