"""Plugins: what they declare, their typed fields, the libraries they lie in and the creators that make them."""
