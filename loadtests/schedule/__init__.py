"""What load comes when, and what each of its requests asks."""
