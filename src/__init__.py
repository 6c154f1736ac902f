"""Action recognition using visual attention: the symbolic graph and its training."""
