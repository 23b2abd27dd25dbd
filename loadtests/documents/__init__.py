"""How a YAML file is read, and how what is wrong with it is told: which value, on which line."""
