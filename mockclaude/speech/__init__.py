"""What Claude says: who answers, and the script of it, before anything is said about time."""
