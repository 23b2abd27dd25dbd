"""What is rehearsed: a scenario, the target it loads, the network between, and what must hold."""
