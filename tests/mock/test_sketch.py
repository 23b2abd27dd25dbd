from mockclaude import sketch, timeline


def drawn(*entries, **base):
    return sketch.draw(timeline.parse({**base, "timeline": list(entries)}), width=20)


def test_nothing_that_changes_is_nothing_to_draw():
    assert sketch.draw(timeline.parse({"capacity": {"slots": 3}})) == []


def test_a_cut_is_a_hole_in_a_line_of_bars():
    [line, axis] = drawn({"at": 10, "for": 10, "capacity": {"slots": 0}}, capacity={"slots": 8})

    assert line.split("  ")[0] == "capacity.slots"
    assert line.count("█") == 11
    assert line.endswith("8 → 0 → 8")
    assert axis.split() == ["0", "s", "21", "s"]


def test_a_fault_is_drawn_by_its_share():
    [line, _] = drawn({"at": 10, "for": 10, "faults": [{"name": "status", "code": 529, "share": 0.25}]})

    assert line.startswith("faults.status ")
    assert line.endswith("0 → 0.25 → 0")


def test_a_word_is_drawn_where_it_differs_from_the_beginning():
    [line, _] = drawn({"at": 10, "for": 10, "capacity": {"order": "lifo"}})

    assert line.count("█") == 9
    assert line.endswith("fifo → lifo → fifo")


def test_what_is_the_same_for_all_families_is_one_line():
    lines = drawn({"at": 10, "for": 10, "latency": {"tokens_per_second": 5}}, latency={"tokens_per_second": 50})

    assert [line.split("  ")[0] for line in lines[:-1]] == ["latency.*.tokens_per_second"]


def test_a_long_ramp_names_only_where_it_begins_and_ends():
    [line, _] = drawn({"at": 0, "for": 20, "ramp": 20, "capacity": {"slots": 0}}, capacity={"slots": 100})

    assert " → ... → " in line


def test_what_is_shorter_than_a_column_is_seen_all_the_same():
    [line, _] = drawn({"at": 10.2, "for": 0.1, "capacity": {"slots": 0}}, {"at": 99, "for": 1, "limits": {}})

    assert line.endswith("1000 → 0 → 1000")
