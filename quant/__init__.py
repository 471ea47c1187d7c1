"""How networks are trained, made small, and stay good."""

import keras_models  # sets Keras 2 before anything here imports TensorFlow

__all__: list[str] = []

del keras_models
