"""Serve one baseline on an inherited socket: `serve.py naive FD [gc]`; with `gc` its garbage is collected as ours."""

import importlib
import socket
import sys

import uvicorn


def main():
    """Until it is told to stop."""
    name, descriptor, *tuned = sys.argv[1:]
    app = importlib.import_module(name).app
    server = uvicorn.Server
    if tuned:
        from mockclaude import garbage

        server = garbage.Server
    listener = socket.socket(fileno=int(descriptor))
    server(uvicorn.Config(app, log_level="critical", access_log=False, proxy_headers=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
