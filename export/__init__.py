"""Write a network to a file, and prove the file equal to it."""

__all__: list[str] = []
