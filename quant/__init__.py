"""How networks are trained, made small, and stay good."""

__all__: list[str] = []
