"""What is said between a caller and a gateway, without sockets: what is asked, and how an answer is read."""
