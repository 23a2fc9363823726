"""What multidb does for other packages: each module is imported only by who uses it."""
