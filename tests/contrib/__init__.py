"""Tests of what multidb does for other packages."""
