"""Backbones that others trained: where they lie, and the nets that read text, pictures and speech with their weights."""
