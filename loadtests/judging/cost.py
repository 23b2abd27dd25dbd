"""What a cohort's attempts cost at Claude's public prices, as genai-prices carries them; nothing is fetched.

Billed is an attempt whose prompt was read: its prompt and all it wrote, whether or not somebody still wanted it. That
is what gives a retry storm its price.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence

from loadtests.sample import Row, Sample


def of(cohort: Sequence[Sample], attempts_of: Mapping[str, Sequence[Row]], good: int) -> Row:
    """Tokens and US dollars, in all and for each of `good` useful answers; None where there is none, and where a model
    has no known price. A request's attempts are wasted in the share of their output that its caller did not get, and
    wholly when that was nothing."""
    tokens, spent, wasted = 0, 0.0, 0.0
    known = True
    for sample in cohort:
        attempts = [attempt for attempt in attempts_of.get(sample.request_id, ()) if is_billed(attempt)]
        prices = [price(attempt) for attempt in attempts]
        known = known and None not in prices
        paid = sum(found or 0.0 for found in prices)
        tokens += sum(attempt["input_tokens"] + attempt["output_tokens"] for attempt in attempts)
        spent += paid
        wasted += paid * (1 - _share_got(sample, attempts))
    dollars = {"usd": spent, "wasted_usd": wasted, "usd_per_good": spent / good if good else None}
    return {
        "tokens": tokens,
        "tokens_per_good": round(tokens / good, 3) if good else None,
        **{name: None if value is None or not known else round(value, 9) for name, value in dollars.items()},
    }


def is_billed(attempt: Row) -> bool:
    """Whether Claude read its prompt: it came to a slot, and was not answered with an error's status alone."""
    refused = attempt["status"] is not None and attempt["status"] >= 400
    return bool(attempt.get("read", True)) and not refused


def price(attempt: Row) -> float | None:
    """US dollars for one billed attempt; None for a model without a known price."""
    cached, written = attempt.get("cached_input_tokens", 0), attempt.get("written_input_tokens", 0)
    return _dollars(attempt.get("model") or "", attempt["input_tokens"], attempt["output_tokens"], cached, written)


def without_price(attempts: Iterable[Row]) -> list[str]:
    """The models of billed attempts that no price is known of."""
    billed = (attempt for attempt in attempts if is_billed(attempt))
    return sorted({str(attempt.get("model")) for attempt in billed if price(attempt) is None})


def _share_got(sample: Sample, attempts: Sequence[Row]) -> float:
    made = sum(attempt["output_tokens"] for attempt in attempts)
    got = sample.output_tokens
    if sample.outcome == "complete" and not got:  # an answer that tells of no tokens
        got = made - sum(attempt["wasted_tokens"] for attempt in attempts)
    return min(1.0, got / made) if made else float(sample.outcome == "complete")


@functools.lru_cache(maxsize=100_000)
def _dollars(model: str, prompt: int, output: int, cached: int, written: int) -> float | None:
    import genai_prices  # takes a fifth of a second, which `--help` need not pay

    usage = genai_prices.Usage(
        input_tokens=prompt, output_tokens=output, cache_read_tokens=cached, cache_write_tokens=written
    )
    try:
        return float(genai_prices.calc_price(usage, model, provider_id="anthropic").total_price)
    except LookupError:
        return None
