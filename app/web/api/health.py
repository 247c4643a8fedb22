"""Define the routes that report the server's health, limits, examples and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from ... import model
from ...errors import NotFound
from ...examples import Example
from .. import responses
from ..links import API
from ..readiness import Readiness
from ..service import Service, service_of
from . import reference

api = APIRouter(prefix=API, tags=["server"])
router = APIRouter(tags=["server"])


class Offer(Struct, frozen=True):
    """The limits of this server, and the versions of the packages that programs may import."""

    torch: str | None
    packages: dict[str, str]
    mode: str
    keep_days: float
    limits: model.Limits


class Gallery(Struct, frozen=True):
    """All examples, in display order."""

    examples: list[Example]


@api.get("/examples", **reference.returns(Gallery, "The examples."))
async def read_examples(request: Request) -> Response:
    """List the examples: small PyTorch programs that can be run as they are."""
    return responses.json(Gallery(service_of(request).examples))


@api.get("/limits", **reference.returns(Offer, "The limits."))
async def read_limits(request: Request) -> Response:
    """Read the limits of a run, and the packages that programs may import."""
    service = service_of(request)
    packages = {"torch": service.torch, "numpy": service.numpy}
    return responses.json(
        Offer(
            torch=service.torch,
            packages={name: version for name, version in packages.items() if version},
            mode=service.mode,
            keep_days=service.settings.keep_days,
            limits=service.limits,
        )
    )


@router.get("/healthz", summary="Check that the server responds", response_class=PlainTextResponse)
async def alive() -> Response:
    """Check that the server responds."""
    return PlainTextResponse("alive\n", headers={"Cache-Control": "no-store"})


@router.get("/readyz", summary="Check that programs can be run", **reference.returns(Readiness, "Programs can be run.", 503))
async def ready(request: Request) -> Response:
    """Check whether programs can be run and stored, and how they are confined."""
    service = service_of(request)
    checks = await service.readiness.all()
    readiness = Readiness(all(check.ok for check in checks), service.mode, list(service.executor.report), checks)
    return responses.json(readiness, 200 if readiness.ready else 503)


@router.get("/metrics", summary="Read the metrics", response_class=PlainTextResponse)
async def measure(request: Request) -> Response:
    """Read the server's metrics in the Prometheus text format."""
    if not service_of(request).settings.metrics:
        raise NotFound("This server does not serve its metrics: its administrator can set TAPEDECK_METRICS=1.")
    registry: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(registry), 200, {"Cache-Control": "no-store"}, "text/plain; version=0.0.4; charset=utf-8")


class _ServiceCollector(Collector):
    """Reads the metrics from the service at each scrape."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service = self._service
        ended = CounterMetricFamily("tapedeck_runs_ended", "Runs that ended, by their status.", labels=["status"])
        for status, count in service.runs.ended.items():
            ended.add_metric([status], count)
        yield ended
        for name, documentation, value in (
            ("running", "Runs that are executing.", service.runs.running),
            ("waiting", "Runs that are queued.", service.runs.waiting),
            ("streams", "Event streams that are open.", service.listeners.count),
            ("store_bytes", "Size of all recordings in bytes.", service.archive.bytes),
            ("ready", "1 if programs can be run, else 0.", int(service.executor.ready)),
        ):
            yield GaugeMetricFamily(f"tapedeck_{name}", documentation, value=value)


def registry_of(service: Service) -> Any:
    """Return a registry of the server's metrics. Each app has its own, so that tests are independent."""
    registry = CollectorRegistry()
    registry.register(_ServiceCollector(service))
    ProcessCollector(registry=registry)
    return registry
