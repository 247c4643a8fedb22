"""Say whether the server lives, whether it can take work, what it offers, and how it fares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from .. import model
from ..examples import Example
from . import answers, reference
from .service import Service, service_of

api = APIRouter(prefix="/api/v1", tags=["server"])
router = APIRouter(tags=["server"])


class Offer(Struct, frozen=True):
    """What this server runs and how much of it. ``packages`` maps those that a program may import to their versions."""

    torch: str | None
    packages: dict[str, str]
    mode: str
    keep_days: float
    limits: model.Limits


class Gallery(Struct, frozen=True):
    """All examples, in the order in which to show them."""

    examples: list[Example]


class Readiness(Struct, frozen=True):
    """Whether programs can be run, how they are confined, and sentences about it."""

    ready: bool
    mode: str
    report: list[str]


@api.get("/examples", **reference.answers(Gallery, "The gallery."))
async def read_examples(request: Request) -> Response:
    """List the gallery: small programs that run as they are."""
    return answers.json(Gallery(service_of(request).examples))


@api.get("/limits", **reference.answers(Offer, "The limits."))
async def read_limits(request: Request) -> Response:
    """Tell what one run may use, and which torch runs it."""
    service = service_of(request)
    packages = {"torch": service.torch, "numpy": service.numpy}
    return answers.json(
        Offer(
            torch=service.torch,
            packages={name: version for name, version in packages.items() if version},
            mode=service.mode,
            keep_days=service.settings.keep_days,
            limits=service.limits,
        )
    )


@router.get("/healthz", response_class=PlainTextResponse)
async def alive() -> Response:
    """Tell that the server answers."""
    return PlainTextResponse("alive\n", headers={"Cache-Control": "no-store"})


@router.get("/readyz", **reference.answers(Readiness, "Programs can be run.", 503))
async def ready(request: Request) -> Response:
    """Tell whether programs can be run, and how they are confined."""
    service = service_of(request)
    told = Readiness(service.executor.ready, service.mode, list(service.executor.report))
    return answers.json(told, 200 if told.ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def measure(request: Request) -> Response:
    """Tell how the server fares, for Prometheus."""
    registry: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(registry), 200, {"Cache-Control": "no-store"}, "text/plain; version=0.0.4; charset=utf-8")


class _Collected(Collector):
    """Reads the figures off the service when they are asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service = self._service
        ended = CounterMetricFamily("tapedeck_runs_ended", "Runs that ended, by how they ended.", labels=["status"])
        for status, count in service.runs.ended.items():
            ended.add_metric([status], count)
        yield ended
        for name, told, value in (
            ("running", "Runs that execute just now.", service.runs.running),
            ("waiting", "Runs that wait for a place.", service.runs.waiting),
            ("store_bytes", "Size of all recordings.", service.archive.bytes),
            ("ready", "Whether programs can be run.", int(service.executor.ready)),
        ):
            yield GaugeMetricFamily(f"tapedeck_{name}", told, value=value)


def registry_of(service: Service) -> Any:
    """The registry of a server's figures: one for each app, so that tests have their own."""
    registry = CollectorRegistry()
    registry.register(_Collected(service))
    ProcessCollector(registry=registry)
    return registry
