"""A small message board on real PostgreSQL, and browsers that load it. Django's settings are in ``project.py``."""
