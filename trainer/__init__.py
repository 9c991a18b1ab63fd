"""Makes models: two folders of pictures become a generator."""
