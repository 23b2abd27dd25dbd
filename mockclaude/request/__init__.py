"""What a caller asks: read, judged in Claude's order and words, and understood."""
