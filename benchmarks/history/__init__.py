"""A site of several processes on real servers that fail, its clients, and a check of what each client has seen."""
