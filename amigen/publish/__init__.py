"""From a proven image to launch templates, and back: look, plan, show, apply."""
