"""The HTTP API's published contract (openapi.yaml) and what is derived from it for Amazon API Gateway (gateway.yaml)."""
