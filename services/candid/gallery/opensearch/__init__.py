"""The k-NN index of OpenSearch. A generation is one model's index with those that large collections have of their own; an alias
says which generation serves."""
