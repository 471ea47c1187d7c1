"""What tests share: quiet logs, and warnings of dependencies silenced one by one, each with its reason."""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
