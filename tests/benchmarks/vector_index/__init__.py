"""The vector index at 10,000 to a million faces: OpenSearch and the embedded file beside FAISS and ``DeepFace.find``."""
