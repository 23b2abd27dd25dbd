"""The Claude Code CLI in print mode."""

import json
import os
import subprocess
from pathlib import Path

import feature

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
PERSON |= {"required": ["name", "age"], "additionalProperties": False}
READ = "Use Read to read note.txt."
NOTE = "The word is heliotrope."


def claude(prompt, *flags):
    """The lines that it printed, each read as JSON."""
    (binary,) = (Path(os.environ["PLACE"]) / "node_modules" / "@anthropic-ai").glob("claude-code-*/claude")
    command = [binary, "-p", prompt, "--model", feature.MODEL, *flags]
    # Ten retries, its default, would last three minutes.
    env = os.environ | {"CLAUDE_CODE_MAX_RETRIES": "2"}
    ran = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=80)
    if not ran.stdout:
        raise RuntimeError(ran.stderr)
    return [json.loads(line) for line in ran.stdout.splitlines()]


class ClaudeCodeError(Exception):
    def __init__(self, result):
        super().__init__(result["result"])
        self.status_code = result.get("api_error_status")


def result_of(lines):
    result = lines[-1]
    if result["is_error"]:
        raise ClaudeCodeError(result)
    return result


def blocks(lines, role, kind):
    turns = [line["message"]["content"] for line in lines if line["type"] == role]
    return [block for content in turns for block in content if block["type"] == kind]


def create():
    result = result_of(claude(feature.GREETING, "--output-format", "json"))
    return {"text": result["result"], "tokens": result["usage"]["output_tokens"]}


def stream():
    lines = claude(feature.GREETING, "--output-format", "stream-json", "--verbose", "--include-partial-messages")
    events = [line["event"] for line in lines if line["type"] == "stream_event"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    yield from (delta["text"] for delta in deltas if delta["type"] == "text_delta")
    result_of(lines)


def tool():
    Path("note.txt").write_text(NOTE)
    lines = claude(READ, "--output-format", "stream-json", "--verbose", "--allowedTools", "Read")
    use, answer = blocks(lines, "assistant", "tool_use")[0], blocks(lines, "user", "tool_result")[0]
    result = {"tool": use["name"], "input": use["input"], "result": answer["content"]}
    return result | {"text": result_of(lines)["result"]}


def thinking():
    lines = claude(feature.GREETING, "--output-format", "stream-json", "--verbose")
    block = blocks(lines, "assistant", "thinking")[0]
    return {"signature": block["signature"], "text": result_of(lines)["result"]}


def structured_by_tool():
    result = result_of(claude(feature.PERSON, "--output-format", "json", "--json-schema", json.dumps(PERSON)))
    return {"value": result["structured_output"]}


if __name__ == "__main__":
    feature.main({f.__name__: f for f in [create, stream, tool, thinking, structured_by_tool]})
