"""Toxics by hand, on the hops of a run's Toxiproxy.

The runner has the same hops, for the timeline of the scenario. Each removes only what it has laid itself, but for
`clear`, which leaves nothing.
"""

from collections.abc import Iterable

from loadtests.experiment.toxics import Harm, Toxic
from loadtests.programs.chaos import Toxiproxy, ToxiproxyError


class Wires:
    """Of one web UI. Every method raises ToxiproxyError."""

    def __init__(self, url: str) -> None:
        self._server = Toxiproxy(url)
        self._server.share()
        self.hops = tuple(sorted(self._server.hops()))
        self._harms: dict[str, Harm] = {}

    def harm(self, name: str, harm: Harm) -> None:
        """Lay a toxic, to be called `name`; of two of a kind on one hop the later counts."""
        others = {key: each for key, each in self._harms.items() if key != name}
        laid = [str(toxic["name"]) for toxic in self._server.toxics(harm.hop)]
        if harm.toxic.name in laid and name not in self._harms:
            raise ToxiproxyError(f"{harm.toxic.name} is on {harm.hop} already, by the scenario")
        self._put({**others, name: harm}, [harm.hop])

    def heal(self, names: Iterable[str]) -> None:
        """Remove those of these toxics that are there."""
        gone = {name: harm for name, harm in self._harms.items() if name in set(names)}
        kept = {name: harm for name, harm in self._harms.items() if name not in gone}
        self._put(kept, sorted({harm.hop for harm in gone.values()}))

    def clear(self) -> None:
        """No hop has any toxic; their connections are dropped, which hangs least."""
        for name, hop in self._server.hops().items():
            self._server.close(name)
            self._server.open(name, hop.upstream, hop.listen)
        self._harms = {}

    def _put(self, harms: dict[str, Harm], changed: Iterable[str]) -> None:
        self._harms = harms
        for hop in changed:
            toxics: list[Toxic] = [harm.toxic for harm in harms.values() if harm.hop == hop]
            self._server.put(hop, toxics)
