"""Cloud services: a bundle behind HTTP, and the client that asks it."""
