"""Run a model anywhere: contract and errors, RAW in, picture out. Never imports TensorFlow."""

from runtime.contract import Contract
from runtime.errors import Error

__all__ = ["Contract", "Error"]
