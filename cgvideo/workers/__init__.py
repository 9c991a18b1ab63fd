"""Segments rendered by several processes, here or in a cluster."""
