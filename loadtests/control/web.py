"""The control room's page and its routes, on Locust's own web UI.

Locust lets every website read what it serves (its CORS is wide open), and a browser sends a form to any address. So
whoever asks from another origin, or under another name than this machine's, is refused: for our routes and Locust's.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent
from flask import Blueprint, Response, abort, jsonify, request, send_file, send_from_directory
from locust.env import Environment

from loadtests.control import origin
from loadtests.control.hand import SAVED, Hand, Load, Refused
from loadtests.control.watch import Watch
from loadtests.documents.section import Problem
from loadtests.experiment.plan import Plan
from loadtests.judging import metrics
from loadtests.record import byhand
from loadtests.sample import Row
from loadtests.schedule.rate import Paces
from loadtests.telling import report

HERE = Path(__file__).parent
ROOT = "/control-room"
ASSETS = {
    "report.css": report.HERE / "report.css",
    "charts.js": report.HERE / "charts.js",
    "room.css": HERE / "room.css",
    "room.js": HERE / "room.js",
    "tab.js": HERE / "tab.js",
    "uplot.css": report.HERE / "vendor" / "uPlot.min.css",
    "uplot.js": report.HERE / "vendor" / "uPlot.iife.min.js",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
LEADS_HERE = b'<script src="./control-room/tab.js" defer></script></body>'


def open_room(environment: Environment, plan: Plan, revise: Callable[[Paces], object]) -> None:
    """Where there is a web UI; a headless run has nobody to look. `revise` changes the pace of the load."""
    if environment.web_ui is None:
        return
    watch = Watch(plan)
    hand = Hand(watch, Load(lambda: _start(environment), lambda: _stop(environment), revise))

    def begin(**_: Any) -> None:
        hand.restore()
        watch.begin()

    environment.events.test_start.add_listener(begin)
    environment.events.test_stop.add_listener(lambda **_: watch.stop())
    gevent.spawn(watch.forever)
    app = environment.web_ui.app
    assert app is not None
    app.before_request(_refuse_strangers)
    app.after_request(_lead_here)
    app.register_blueprint(routes(watch, hand))
    environment.web_ui.template_args["extended_tabs"] = [{"title": "Control room", "key": "control-room"}]


def _start(environment: Environment) -> None:
    assert environment.runner is not None
    environment.runner.start_shape()


def _stop(environment: Environment) -> None:
    assert environment.runner is not None
    environment.runner.stop()


def routes(watch: Watch, hand: Hand) -> Blueprint:
    blueprint = Blueprint("control_room", __name__, url_prefix=ROOT)

    @blueprint.get("/")
    def page() -> Response:
        return _plain(Response(_page(watch, hand)))

    @blueprint.get("/<name>")
    def asset(name: str) -> Response:
        if name not in ASSETS:
            abort(404)
        return _plain(send_file(ASSETS[name]))

    @blueprint.get("/seen")
    def seen() -> Response:
        since = request.args.get("since", 0, int)
        return jsonify({**watch.seen(since), "saved": hand.saved})

    @blueprint.get(f"/{SAVED}/<path:path>")
    def saved(path: str) -> Response:
        return send_from_directory(watch.run.path / SAVED, path)

    @blueprint.post("/do/<name>")
    def do(name: str) -> Response | tuple[Response, int]:
        if name not in hand:
            abort(404)
        try:
            return jsonify({"told": hand.do(name, request.get_json())})
        except Problem as problem:
            return jsonify({"error": str(problem)}), 400
        except Refused as refusal:
            return jsonify({"error": str(refusal)}), 409

    return blueprint


def _refuse_strangers() -> Response | None:
    why = origin.stranger(request.host, request.headers.get("origin"))
    return Response(why, 403, mimetype="text/plain") if why else None


def _lead_here(response: Response) -> Response:
    """Locust's tabs hold tables only; a few lines make ours a way to the page."""
    if request.path == "/" and response.mimetype == "text/html" and not response.is_streamed:
        response.set_data(response.get_data().replace(b"</body>", LEADS_HERE))
    return response


def _page(watch: Watch, hand: Hand) -> str:
    about, scenario = watch.run.read_about()[0], watch.scenario
    slo = scenario.slo.model_dump(exclude_none=True)
    return report.template(HERE / "room.html.j2").render(
        scenario=about.name,
        variant=watch.plan.variant,
        about=scenario.about,
        waiting=scenario.load.users if scenario.load.waits else None,
        choices=byhand.CHOICES,
        wires=byhand.WIRES,
        ways=[(hop, byhand.WAYS.get(hop, hop)) for hop in hand.wires.hops] if hand.wires else [],
        slots=(scenario.mock_config().get("capacity") or {}).get("slots"),
        data=report.embedded(_fixed(watch, slo)),
    )


def _fixed(watch: Watch, slo: Mapping[str, float]) -> Row:
    """What does not change while the page is open."""
    lines = watch.scenario
    return {
        "seconds": lines.seconds,
        "slo": slo,
        "phases": [{"name": s.name, "start": s.start, "end": s.end, "judge": s.judge} for s in lines.spans()],
        "faults": metrics.faults(lines),
        "knobs": {key: choice.knob for key, choice in (*byhand.CHOICES.items(), *byhand.WIRES.items())},
    }


def _plain(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    return response
