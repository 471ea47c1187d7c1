"""What tests share: quiet logs, and warnings of dependencies silenced one by one, each with its reason."""

import os

import pytest

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def eagerly():
    """TensorFlow without graphs: a few steps of a training take less time than to trace one."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
