"""Every rule of Candid, one folder a subject. Never imports an edge (``services/<function>/app.py``)."""
