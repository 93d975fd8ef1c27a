"""Builds: the rendered Packer files run for real, and an image that is kept only when its checks have passed."""
