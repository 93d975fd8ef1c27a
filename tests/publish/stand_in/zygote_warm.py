"""Loaded once, by the process that others are forked from."""

from __future__ import annotations

import os

from tests.publish.stand_in.zygote import warm_up

os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
warm_up()
