"""A sample on disk is the sample it was."""

import json

from loadtests.sample import Sample


def test_a_sample_survives_its_row():
    sent = {"text_bytes": (3, 0, 9), "wire_bytes": (50, 61, 0), "encoding": "gzip"}
    sample = Sample("r1", 1.0, 1.5, 3.25, "complete", 200, None, 2.0, (0.1, 0.25), 7, 3, tries=2, **sent)

    row = json.loads(sample.to_json("naive"))

    assert row["variant"] == "naive"
    assert Sample.from_row(row) == sample


def test_a_row_from_before_callers_tried_again_is_of_one_try():
    row = json.loads(Sample("r1", 1.0, 1.5, 3.25, "complete").to_json("naive"))
    del row["tries"], row["text_bytes"], row["wire_bytes"], row["encoding"]

    assert Sample.from_row(row) == Sample("r1", 1.0, 1.5, 3.25, "complete")


def test_tpot_needs_two_tokens_in_two_deltas():
    one_delta = Sample("r1", 0, 0, 1, "complete", first_delta=0.5, output_tokens=5)
    one_token = Sample("r1", 0, 0, 1, "complete", first_delta=0.5, gaps=(0.1,), output_tokens=1)

    assert one_delta.tpot is None
    assert one_token.tpot is None


def test_half_of_a_surrogate_pair_in_a_servers_error_is_kept():
    sample = Sample("r1", 1.0, 1.5, 3.25, "failed", 500, "broken \ud83d")

    assert Sample.from_row(json.loads(sample.to_json("naive"))) == sample
