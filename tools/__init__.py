"""What a developer runs on the tree; nothing of it is installed."""
