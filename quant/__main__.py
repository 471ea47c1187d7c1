"""`python -m quant` is `qk-train`."""

from quant.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
