"""Answer the command line: serve, run, render, check, doctor."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from .. import __version__
from ..errors import BadRequest, NotFound, TapedeckError
from ..settings import SettingsError
from ..settings import read as read_settings

if TYPE_CHECKING:
    from ..runs.run import RecordedRun

app = typer.Typer(
    name="tapedeck",
    help="Record PyTorch's autograd tape and play it back: the backward graph with the real gradient on every edge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

FILE = Annotated[str, typer.Argument(metavar="FILE", help="A program (.py), a notebook (.ipynb), or - for standard input.")]
ARGUMENTS = Annotated[list[str] | None, typer.Argument(metavar="[-- ARGUMENTS]", help="What the program finds in sys.argv.")]
SANDBOX = Annotated[bool, typer.Option("--sandbox", help="Confine the program, as a server would, instead of trusting it.")]
SEED = Annotated[int, typer.Option(help="Seed of random, numpy and torch.", min=0, max=2**63 - 1)]


def main() -> None:
    """Run the command line; our own errors are one line, and exit with 2."""
    try:
        app()
    except (TapedeckError, SettingsError) as error:
        print(f"tapedeck: {error}", file=sys.stderr)
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tapedeck {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    data: Annotated[str | None, typer.Option(help="Folder of the recordings (TAPEDECK_DATA).")] = None,
    root_path: Annotated[str | None, typer.Option(help="Path under which a proxy serves this (TAPEDECK_ROOT_PATH).")] = None,
    unconfined: Annotated[
        bool, typer.Option("--unconfined", help="Run programs without a sandbox: your own code, on a loopback address only.")
    ] = False,
) -> None:
    """Serve the page and the API."""
    from . import serve as serving

    settings = read_settings()
    changed = {"data": data, "root_path": root_path, "unconfined": unconfined or None}
    settings = msgspec.structs.replace(settings, **{name: value for name, value in changed.items() if value is not None})
    if not serving.serve(settings, host, port):
        raise typer.Exit(1)


@app.command()
def run(
    file: FILE,
    arguments: ARGUMENTS = None,
    sandbox: SANDBOX = False,
    seed: SEED = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run as the API tells it, and nothing else.")] = False,
) -> None:
    """Run a program and show its values, its last backward pass and what is worth knowing. Exits with 1 if it failed."""
    from . import record, report

    settings = read_settings()
    source = record.read(file)
    asked = record.request(source, settings.limits if sandbox else record.OWN, seed=str(seed))

    def printed(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    story = record.record(
        source,
        asked,
        settings,
        sandbox=sandbox,
        arguments=tuple(arguments or ()),
        printed=(lambda text: None) if as_json else printed,
    )
    recorded = asyncio.run(story)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(recorded.run({}))).decode())
    else:
        if (said := recorded.recording.stdout()) and not said.endswith("\n"):
            print()
        report.show(report.console(), recorded, source.name)
    if recorded.status != "done":
        raise typer.Exit(1)


@app.command()
def render(
    file: FILE,
    arguments: ARGUMENTS = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The picture: its ending says in which form (.svg .png .pdf .dot .txt).")
    ] = Path("graph.svg"),
    step: Annotated[int | None, typer.Option(help="Step to draw; the last, unless named.", min=0)] = None,
    line: Annotated[int | None, typer.Option(help="Draw the graph of this line's value, instead of a pass.", min=1)] = None,
    theme: Annotated[str, typer.Option(help="light, dark, or auto (as the viewer has it).")] = "light",
    direction: Annotated[str, typer.Option(help="TB (loss on top), BT or LR.")] = "TB",
    sandbox: SANDBOX = False,
    seed: SEED = 0,
) -> None:
    """Run a program and write the picture of a backward pass."""
    from ..drawing import picture
    from ..recording import default_graph
    from . import record, report

    form = output.suffix.removeprefix(".").lower()
    if form not in picture.FORMS:
        raise BadRequest(f"There is no picture as {output.name}: its ending is one of {', '.join(picture.FORMS)}.")
    settings = read_settings()
    source = record.read(file)
    asked = record.request(source, settings.limits if sandbox else record.OWN, seed=str(seed))

    look: Any = {"theme": theme, "direction": direction, "engine": picture.shared_engine(settings.dot)}

    async def story() -> tuple[RecordedRun, bytes]:
        recorded = await record.record(source, asked, settings, sandbox=sandbox, arguments=tuple(arguments or ()))
        chosen = default_graph(recorded.recording, step, line)
        if chosen is None:
            reason = f": {recorded.error.type}, {recorded.error.message}" if recorded.error else "."
            raise NotFound(f"There is no graph to draw{f' on line {line}' if line else ''}{reason}")
        make = picture.render if chosen.kind == "pass" else picture.render_graph
        return recorded, await make(recorded.recording, chosen.index, form, **look)

    recorded, drawn = asyncio.run(story())
    try:
        output.write_bytes(drawn)
    except OSError as error:
        raise BadRequest(f"{output} cannot be written: {error.strerror}.") from error
    if recorded.status != "done":
        errors = report.console(error=True)
        for text in report.failure(recorded.run({})):
            errors.print(text)
        raise typer.Exit(1)


@app.command()
def check(
    file: FILE,
    arguments: ARGUMENTS = None,
    elements: Annotated[
        int, typer.Option(help="Elements of each leaf to check, at most; taken evenly.", min=1, max=100_000)
    ] = 16,
    sandbox: SANDBOX = False,
    seed: SEED = 0,
) -> None:
    """Run a program and check the gradients of each graph's first pass against finite differences.

    Exits with 1 if one is wrong, the program failed, or there was nothing to check; with 3 if none is wrong, and not all could
    be judged: a loss or a gradient is not finite, or a pass cannot be carried out again.
    """
    from .. import wire
    from . import check_report, record, report

    settings = read_settings()
    source = record.read(file)
    asked = record.request(source, settings.limits if sandbox else record.OWN, seed=str(seed))

    def printed(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    job = wire.ReplayOrder("check", elements=elements, every=True)
    recorded = asyncio.run(
        record.record(source, asked, settings, sandbox=sandbox, arguments=tuple(arguments or ()), printed=printed, replay=job)
    )
    found = check_report.read(recorded.recording)
    out = report.console()
    for line in check_report.told(found, source.name):
        out.print(line)
    for line in report.failure(recorded.run({})):
        out.print(line)
    if recorded.status != "done" or found.right is False or not found.graphs:
        raise typer.Exit(1)
    if found.right is None:
        raise typer.Exit(3)


@app.command()
def doctor() -> None:
    """Look at all that Tapedeck needs here, and say what is missing. Exits with 1 if programs cannot be confined."""
    from . import report
    from .doctor import Diagnosis, examine

    out = report.console()

    def show(found: Diagnosis, indent: str = "") -> None:
        out.print(f"{indent}{'ok  ' if found.ok else 'NO  '}", style="green" if found.ok else "bold red", end="")
        out.print(found.text)
        for detail in found.details:
            show(detail, indent + "    ")

    async def story() -> bool:
        well = True
        async for found in examine(read_settings()):
            show(found)
            well = well and found.ok
        return well

    if not asyncio.run(story()):
        raise typer.Exit(1)
