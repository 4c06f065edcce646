"""What the tests of OpenSearch's failures share: a network that can fail, and a look-out for what must not be logged."""
