"""What a gateway is made of: one of each part, made from its settings and owned by its application."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2

from gateway_under_test import auth, cache, logs, prompts, settings, store, tracing
from gateway_under_test.attempt import Telemetry
from gateway_under_test.metrics import Metrics
from gateway_under_test.tasks import Tasks
from gateway_under_test.upstream import Upstream
from gateway_under_test.zombies import Zombies


@dataclass
class Parts:
    """The parts; those that have something open are `running` as long as the application lives."""

    chosen: settings.Settings
    log: logs.Log
    metrics: Metrics
    tracer: tracing.Tracing
    redis: store.Redis | None
    upstream: Upstream
    keys: auth.Keys
    prompts: prompts.Prompts
    tasks: Tasks
    zombies: Zombies | None

    @classmethod
    def of(
        cls,
        chosen: settings.Settings,
        log: logs.Log,
        tracer: tracing.Tracing | None = None,
        http_client: httpx2.AsyncClient | None = None,
        seed: int | None = None,
    ) -> Parts:
        """Raises SettingsError for a bad prompts or keys file."""
        known = [name for name in (chosen.model, chosen.fallback_model) if name]
        metrics = Metrics(known, worker=str(os.getpid()) if chosen.workers > 1 else None)
        tracer = tracer or tracing.make(chosen.anthropic_base_url, known)
        redis = store.Redis(chosen.redis_url, log) if chosen.redis_url else None
        telemetry = Telemetry(log, metrics, tracer, stopping=lambda: upstream.draining)
        zombies = None if chosen.cancel_upstream else Zombies()
        upstream = Upstream(chosen, telemetry, _answers(chosen, redis), zombies, http_client=http_client, seed=seed)
        metrics.watch(upstream.state)
        return cls(
            chosen,
            log,
            metrics,
            tracer,
            redis,
            upstream,
            auth.Keys(chosen, log),
            prompts.Prompts(chosen.prompts, log),
            Tasks(chosen.task_ttl, log, redis, at_once=chosen.batch_concurrency),
            zombies,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tasks end first, then what is asked of Claude, then Redis."""
        watcher = asyncio.create_task(logs.watch_loop(self.log))
        try:
            async with contextlib.AsyncExitStack() as held:
                if self.redis:
                    await held.enter_async_context(self.redis.connected())
                await held.enter_async_context(self.upstream.connected())
                await held.enter_async_context(self.tasks.living(self.chosen.drain))
                if self.zombies:
                    await held.enter_async_context(self.zombies)
                try:
                    yield
                finally:
                    self.drain()
        finally:
            watcher.cancel()

    def drain(self) -> None:
        """We are about to stop."""
        self.upstream.drain()
        self.tasks.drain()


def _answers(chosen: settings.Settings, redis: store.Redis | None) -> cache.Cache:
    return cache.Answers(chosen.cache.ttl, chosen.cache.size, redis) if chosen.cache else cache.NoCache()
