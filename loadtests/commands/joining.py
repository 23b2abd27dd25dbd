"""`loadtests run --worker HOST`: this machine sends its share of a load that a master elsewhere divides."""

import os
import socket
import subprocess
import tempfile

from loadtests.errors import CannotRun
from loadtests.programs import crew, stack


def join(master: str, *, allow_remote: bool, i_will_pay: bool) -> None:
    """Until the master ends. What is to be sent, and where, comes from there. Raises CannotRun."""
    host, port = crew.address(master)
    name = f"load worker {socket.gethostname()}-{os.getpid()}"
    granted = [option for option, given in (("--allow-remote", allow_remote), ("--i-will-pay", i_will_pay)) if given]
    with tempfile.TemporaryDirectory() as home:  # locust would read the settings it finds at home
        process = subprocess.Popen(
            crew.worker_command(host, port, *granted),
            cwd=home,
            env={**stack.clean_environment(os.environ), **crew.worker_environment(name, home)},
            stdin=subprocess.DEVNULL,
            preexec_fn=stack.die_with_parent,
        )
        try:
            code = process.wait()
        finally:
            process.terminate()
            process.wait()
    if code:
        raise CannotRun(f"--worker {master}: the {name} ended with exit code {code}; is a master there (run --master)?")
