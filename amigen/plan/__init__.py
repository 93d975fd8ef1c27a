"""The plan: what will be on the node, in order, each step with the checks that prove it."""
