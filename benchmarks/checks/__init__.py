"""What a check costs whoever waits for it."""
