"""What routing and pinning cost, each table of ``benchmarks/cost.py`` in a file of its own."""
