"""A run as Markdown."""

from loadtests.telling import markdown
from tests.load.written import Written


def test_it_tells_the_verdict_the_figures_and_every_check(both: Written):
    page = markdown.render(both.judge(), about="Does it come back?", command="loadtests run small --seed 3")

    assert page.startswith("## ✅ pass: small\n\nDoes it come back?\n")
    assert "| fixed | before | 100 % | 1 x | 0 % | 1 s | 1 s | 0 | $0.07 |  |" in page
    assert "|  | after | 0 % | 1 x | 100 % | – | – | 320 | – | – |" in page
    assert "| naive.after | `goodput_ratio` | 0 | at most 0.5 | 0 | ✅ pass | theory |" in page
    assert "| `fixed.error_ratio &lt; 0.01` | fixed | 0 | ✅ pass |" in page
    assert page.endswith("```\nloadtests run small --seed 3\n```\n")
    assert "warmup" not in page


def test_it_says_first_why_a_run_did_not_pass(both: Written):
    both.event("fixed", "died", message="the mock died")

    page = markdown.render(both.judge())

    assert page.startswith("## ⚠️ invalid: small\n\n- fixed: the mock died\n")


def test_nothing_that_people_wrote_breaks_a_table_or_becomes_markup(both: Written):
    run = both.judge()
    run["expectations"][0]["because"] = "a | b\n<script>"
    run["findings"] = ["naive: <img src=x>"]

    page = markdown.render(run)

    assert "| a \\| b &lt;script> |" in page
    assert "- finding: naive: &lt;img src=x>" in page
