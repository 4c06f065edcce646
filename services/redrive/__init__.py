"""The redrive function: what operators do with dead letters."""
