"""Requests that run interleaved, each of which knows what it must see, over threads and over one event loop."""
