"""Runs a real client against the mock at ANTHROPIC_BASE_URL: `python tests/clients/run.py litellm tool`.

It installs the client first, once, into .tools/clients/; what is installed is decided by the content of its
requirements, so a second run starts at once. The client then sees no key, proxy, file or setting of this machine.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACES = HERE.parents[1] / ".tools" / "clients"

CLIENTS = {  # its environment, its program, what the program wants to know beside the feature
    "anthropic": ("anthropic", "with_anthropic.py", "sync"),
    "anthropic-async": ("anthropic", "with_anthropic.py", "async"),
    "anthropic-aiohttp": ("anthropic", "with_anthropic.py", "aiohttp"),
    "anthropic-old": ("anthropic_old", "with_anthropic.py", "sync"),
    "langchain": ("langchain", "with_langchain.py"),
    "pydantic-ai": ("pydantic_ai", "with_pydantic_ai.py"),
    "litellm": ("litellm", "with_litellm.py"),
    "instructor": ("instructor", "with_instructor.py"),
    "typescript": ("node", "with_typescript.mjs"),
    "vercel": ("node", "with_vercel.mjs"),
    "claude-code": ("node", "with_claude_code.py"),
}
OFFLINE = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def run(client: str, feature: str) -> int:
    """Run one feature of one client in an empty home; its exit code."""
    environment, program, *more = CLIENTS[client]
    place = installed(environment)
    with tempfile.TemporaryDirectory(prefix="mockclaude-client-") as home:
        seen = {"HOME": home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PLACE": str(place), **OFFLINE}
        seen |= {"ANTHROPIC_BASE_URL": loopback(os.environ["ANTHROPIC_BASE_URL"]), "ANTHROPIC_API_KEY": "sk-ant-mock"}
        return subprocess.run([*started(program, place), feature, *more], env=seen, cwd=home, timeout=90).returncode


def loopback(url: str) -> str:
    """The url, when nothing sent there can leave this machine."""
    if urllib.parse.urlsplit(url).hostname != "127.0.0.1":
        sys.exit(f"ANTHROPIC_BASE_URL: got {url}, expected the http://127.0.0.1:PORT of a mock")
    return url


def started(program: str, place: Path) -> list[str]:
    """The command before its arguments. Node looks for modules beside the program, so that one moves in with them."""
    if program.endswith(".mjs"):
        for module in HERE.glob("*.mjs"):
            shutil.copy(module, place)
        return ["node", str(place / program)]
    python = place / "bin" / "python"
    return [str(python) if python.exists() else sys.executable, str(HERE / program)]


def installed(environment: str) -> Path:
    """Where an environment is, which is made when its requirements have changed."""
    make, inputs = modules, [HERE / "package.json", HERE / "package-lock.json"]
    if environment != "node":
        make, inputs = venv, [HERE / "requirements" / f"{environment}.txt"]
    digest = hashlib.sha256(sys.version.encode() + b"".join(path.read_bytes() for path in inputs)).hexdigest()
    place = PLACES / f"{environment}-{digest[:12]}"
    if not (place / "done").exists():
        print(f"installing {environment} into {place.relative_to(HERE.parents[1])} ...", file=sys.stderr, flush=True)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        make(place, inputs)
        (place / "done").touch()
    return place


def venv(place: Path, inputs: list[Path]) -> None:
    """A venv, by the first means that is there, with the requirements in it."""
    means = [[sys.executable, "-m", "venv"], [sys.executable, "-m", "virtualenv", "--quiet"]]
    if not any(subprocess.run([*mean, place], capture_output=True).returncode == 0 for mean in means):
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--seed", "--python", sys.executable, place], check=True)
    subprocess.run([place / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", inputs[0]], check=True)


def modules(place: Path, inputs: list[Path]) -> None:
    """The node_modules of the lock. No package needs its install script."""
    for path in inputs:
        shutil.copy(path, place)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", "ci", *quiet], cwd=place, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        if missing := [program for program in ("node", "npm") if shutil.which(program) is None]:
            sys.exit(f"{' and '.join(missing)} not found, which three of the clients need: sudo apt install nodejs npm")
        for environment in dict.fromkeys(environment for environment, *_ in CLIENTS.values()):
            installed(environment)
    elif len(sys.argv) == 3 and sys.argv[1] in CLIENTS:
        sys.exit(run(*sys.argv[1:]))
    else:
        sys.exit(f"run.py install, or run.py CLIENT FEATURE; clients: {', '.join(CLIENTS)}")
