"""The authorizer function: a bearer token in, a policy and the caller's agency, user and roles out."""
