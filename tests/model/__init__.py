"""A modelled world for ``tests/test_model.py``: databases that lag, browsers, worker threads, and what befalls them.

Only the databases are modelled, below Django's connections: a primary is a list of commits, a replica has applied the
first of them. Django's handler, its transactions and sessions, and all of ``multidb`` are the real ones.

``python -m tests.model`` runs the model for long.
"""
