"""How a server is judged: what it is asked, and what Claude's answers look like from outside."""
