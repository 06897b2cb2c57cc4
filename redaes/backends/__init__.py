"""Where a model's answers come from: one small protocol, several ways to fulfil it."""
