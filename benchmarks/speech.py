"""What every baseline says: the events of a reply of 150 tokens, the first after 300 ms, then 90 a second."""

import os

TTFT = float(os.environ.get("BENCH_TTFT", "0.3"))
GAP = 1 / float(os.environ.get("BENCH_RATE", "90"))
TOKENS = int(os.environ.get("BENCH_TOKENS", "150"))

USAGE = {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
MESSAGE = {
    "model": "claude-haiku-4-5",
    "id": "msg_01BenchBenchBenchBenchBe",
    "type": "message",
    "role": "assistant",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": USAGE,
}


def opening():
    """The events before the first token."""
    return [
        {"type": "message_start", "message": MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]


def delta(k):
    """The event of token `k`."""
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": f" harbour{k:03d}"},
    }


def closing():
    """The events after the last token."""
    return [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE | {"output_tokens": TOKENS}},
        {"type": "message_stop"},
    ]
