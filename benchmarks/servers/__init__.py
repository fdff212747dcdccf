"""What servers cost."""
