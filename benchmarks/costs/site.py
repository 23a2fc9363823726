"""The settings module of each site that is measured, made of what the command says in the environment.

A module, and not ``settings.configure()``: a setting that is not set costs more in the one than in the other.
"""

import importlib
import json
import os

SECRET_KEY = "of a benchmark"  # noqa: S105  # it signs for a client that this makes, and no other
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "costs.pages"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
# Errors and warnings go to stderr.
LOGGING_CONFIG = None

_given = json.loads(os.environ["COSTS_SETTINGS"])
if "DEFAULTS" in _given:
    _defaults = vars(importlib.import_module(_given.pop("DEFAULTS")))
    globals().update({name: value for name, value in _defaults.items() if name.isupper()})
globals().update(_given)
