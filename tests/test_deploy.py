"""``compose.yaml`` agrees with the Dockerfile, the settings and the advice on sizes, and locks the container down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
from tapedeck import settings
from tapedeck.cli.server import GRACE_SECONDS
from tapedeck.settings import Settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = msgspec.yaml.decode((ROOT / "compose.yaml").read_bytes())
SERVICE: dict[str, Any] = COMPOSE["services"]["tapedeck"]
ADVICE = (ROOT / "deploy" / "README.md").read_text()
BASE_MB, CHILD_MB = 450, 14
"""Memory of a server without runs, and of each idle child, as measured for the advice."""


def deployed() -> Settings:
    """Return the settings in the container, for an environment that sets none of the variables of ``compose.yaml``."""
    values = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", text) for name, text in SERVICE["environment"].items()}
    return settings.read(values)


def test_every_variable_is_a_setting() -> None:
    documented = set(re.findall(r"^\| `(TAPEDECK_\w+)`", ADVICE, re.M))
    assert len(documented) > 30
    assert set(SERVICE["environment"]) <= documented
    assert deployed() != Settings()


def test_the_container_is_locked_down() -> None:
    assert SERVICE["read_only"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert not SERVICE.keys() & {"cap_add", "devices", "privileged", "pid", "ipc", "network_mode", "user"}
    assert SERVICE["pids_limit"] == 256


def test_the_container_s_memory_suffices_for_the_server_and_two_large_programs() -> None:
    own = deployed()
    server = BASE_MB + CHILD_MB * (own.children or 2 * SERVICE["cpus"]) + own.memory_mb
    assert SERVICE["mem_limit"] == SERVICE["memswap_limit"] == "4g"
    assert (own.programs_memory_mb, server <= 1024) == (0, True)  # by default, programs leave 1024 MB to the server
    assert 2 * own.limits.memory_bytes <= (4 << 30) - (1024 << 20)
    assert f"{BASE_MB} MB + {CHILD_MB} MB × TAPEDECK_CHILDREN + TAPEDECK_MEMORY_MB" in ADVICE


def test_the_ports_and_volumes_are_those_of_the_image() -> None:
    (exposed,) = re.findall(r"^EXPOSE (\d+)", DOCKERFILE, re.M)
    (folder,) = re.findall(r"^VOLUME (\S+)", DOCKERFILE, re.M)
    assert SERVICE["ports"] == [f"127.0.0.1:{exposed}:{exposed}"]  # only a proxy on this machine can reach the port
    ((name, mounted),) = [each.split(":") for each in SERVICE["volumes"]]
    assert (mounted, name in COMPOSE["volumes"]) == (folder, True)


def test_the_build_arguments_are_those_of_the_dockerfile() -> None:
    arguments = SERVICE["build"]["args"]
    declared = dict(re.findall(r"^ARG (\w+)(?:=(\S+))?", DOCKERFILE, re.M))
    assert arguments.keys() <= declared.keys()
    assert arguments["PYTHON_IMAGE"] == f"${{PYTHON_IMAGE:-{declared['PYTHON_IMAGE']}}}"
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.M) == ["${PYTHON_IMAGE}"] * 2  # one digest for both stages


def test_a_stop_waits_for_the_programs_that_run() -> None:
    seconds = int(SERVICE["stop_grace_period"].removesuffix("s"))
    assert seconds >= deployed().limits.wall_seconds + GRACE_SECONDS


def test_a_proxy_on_the_host_is_trusted_and_no_other_container() -> None:
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert deployed().trusted_proxies == network["gateway"]
