"""Declare the commands: serve, run, render, check, diff, why, backup, restore, doctor.

The commands import what they need when they run, so that ``tapedeck --help`` starts fast.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from .. import __version__
from ..errors import BadRequest, NotFound, TapedeckError
from ..settings import SettingsError
from ..settings import read as read_settings
from . import lesson_commands
from .arguments import ProgramCommand

if TYPE_CHECKING:
    from .. import model
    from ..runs.run import RecordedRun

app = typer.Typer(
    name="tapedeck",
    help="Record PyTorch's autograd tape and play it back: the backward graph with the real gradient on every edge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

FILE = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A program (.py), a notebook (.ipynb), or - for standard input. With -m, a module."),
]
ARGUMENTS = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ARGUMENTS]",
        help="Arguments of the program (sys.argv). They begin after --, or with the first argument that this command "
        "does not know. Without --, the program also gets --seed, --help and -m if they follow FILE.",
    ),
]
MODULE = Annotated[bool, typer.Option("-m", help="FILE is the name of a module or package, to run as python -m does.")]
SANDBOX = Annotated[
    bool, typer.Option("--sandbox", help="Run the program in the sandbox of the server, not with your own permissions.")
]
SEED = Annotated[
    int | None,
    typer.Option(help="Seed of random, numpy and torch. Default: the program's own random state.", min=0, max=2**63 - 1),
]
FIXED_SEED = Annotated[
    int,
    typer.Option(help="Seed of random, numpy and torch, so that every run uses the same numbers.", min=0, max=2**63 - 1),
]


app.add_typer(lesson_commands.app)


def main() -> None:
    """Run the command line. Tapedeck's own errors are printed on one line, with exit status 2."""
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
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free port.", min=0, max=65535)] = 8000,
    data: Annotated[
        str | None, typer.Option(help="Folder of the recordings, or :memory: to keep them in memory (TAPEDECK_DATA).")
    ] = None,
    root_path: Annotated[
        str | None, typer.Option(help="Path under which a proxy serves Tapedeck, such as /tapedeck (TAPEDECK_ROOT_PATH).")
    ] = None,
    unconfined: Annotated[
        bool,
        typer.Option("--unconfined", help="Run programs without a sandbox. Only for your own code, on a loopback address."),
    ] = False,
    lessons: Annotated[
        str | None, typer.Option(help="Folder of your own lessons, shown after those of Tapedeck (TAPEDECK_LESSONS).")
    ] = None,
) -> None:
    """Serve the page and the API.

    The environment variables TAPEDECK_… apply; options override them. Ctrl+C stops the server.

    \b
    Exit status:
      0  the server was stopped
      1  the server did not start
      2  a setting is invalid
    """
    from . import serve as serving

    settings = read_settings()
    changed = {"data": data, "root_path": root_path, "unconfined": unconfined or None, "lessons": lessons}
    settings = msgspec.structs.replace(settings, **{name: value for name, value in changed.items() if value is not None})
    if not serving.serve(settings, host, port):
        raise typer.Exit(1)


@app.command(cls=ProgramCommand)
def run(
    file: FILE,
    arguments: ARGUMENTS = None,
    module: MODULE = False,
    sandbox: SANDBOX = False,
    seed: SEED = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the run as JSON, as GET /api/v1/runs/{id} returns it.")
    ] = False,
) -> None:
    """Run a program; print its values, last pass, error and findings.

    The report has the values of the lines, the last backward pass in words, the error, and the findings with their fixes. The
    output of the program comes first, on the stream to which the program wrote it. The traceback of an exception is on stderr.

    A .py file runs as `python FILE ARGUMENTS` would run it: in the current folder, with its own imports, files and random
    state. A notebook runs cell by cell. The first Ctrl+C goes to the program, the second one stops it. Everything recorded
    before that is printed.

    \b
    Exit status:
      the exit status of the program: 0 if it ended normally, 1 after an exception, N after sys.exit(N);
      a signal that ended the program ends this command too
      1  the program was stopped, or failed in the sandbox
      2  the program could not be run
    """
    from . import record, report

    ended: list[int] = []
    invocation = record.prepare(file, arguments, module=module, sandbox=sandbox, seed=seed)
    own_streams = not as_json and invocation.shares_streams()
    recorded = asyncio.run(
        record.record(
            invocation,
            printed=(lambda stream, text: None) if as_json else _print_at_once,
            exited=ended.append,
            own_streams=own_streams,
        )
    )
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(recorded.run({}))).decode())
    else:
        if (printed := recorded.recording.stdout()) and not printed.endswith("\n"):
            print()
        report.show(report.console(), recorded, invocation.file.name, error_printed=own_streams)
    if ended:
        _end_like(ended[0])
    if recorded.status != "done":
        raise typer.Exit(1)


@app.command(cls=ProgramCommand)
def render(
    file: FILE,
    arguments: ARGUMENTS = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="File to write. Its ending chooses the format: .svg, .png, .pdf, .dot, .txt, or .html for the whole "
            "recording. A name without an ending is a folder for several FILES, which then come last.",
        ),
    ] = Path("graph.svg"),
    step: Annotated[int | None, typer.Option(help="Index of the step to draw. Default: the last one.", min=0)] = None,
    line: Annotated[
        int | None, typer.Option(help="Draw the graph of the value of this line instead of a backward pass.", min=1)
    ] = None,
    theme: Annotated[
        str | None, typer.Option(help="light, dark, or auto to follow the viewer's setting. Default: light, or auto for .html.")
    ] = None,
    direction: Annotated[str, typer.Option(help="TB (loss at the top), BT or LR.")] = "TB",
    view: Annotated[
        str | None, typer.Option(help="Draw a map: ids of its open groups, separated by commas; '' if none is open.")
    ] = None,
    reveal: Annotated[str | None, typer.Option(help="Draw a map that shows this operation, such as n57.")] = None,
    layout: Annotated[
        str,
        typer.Option(help="nodes: a card for each node; groups, graph or rows: a map; auto: what is easiest to read."),
    ] = "auto",
    module: MODULE = False,
    sandbox: SANDBOX = False,
    seed: SEED = None,
) -> None:
    """Run a program and draw the graph of a backward pass.

    The picture shows the value and the gradient of each node, and the gradient on each edge. A graph that is large or hard
    to read is drawn as a map of groups: --view chooses which are open, and --layout nodes draws a card for each node. A .txt
    file describes the pass in words. A .html file has the whole recording, which plays in a browser without a server. If the
    output is a folder, all arguments are files; each becomes a .html file, and index.html lists them. The program runs as
    with `tapedeck run`.

    \b
    Exit status:
      0  the graph is drawn
      1  the program failed or was stopped; the last graph before that is drawn
      2  nothing could be drawn
    """
    from ..drawing import picture
    from ..recording import default_graph
    from ..runs.outcome import explanation
    from . import record

    form = output.suffix.removeprefix(".").lower()
    if form not in (*picture.FORMS, "html", ""):
        raise BadRequest(f"{output.name} cannot be drawn: use one of the endings {', '.join(picture.FORMS)}, html.")
    if form in ("html", ""):
        from . import files

        chosen_theme = None if theme == "auto" else theme
        if chosen_theme not in (None, "light", "dark"):
            raise BadRequest(f"There is no theme {theme!r}: use light, dark or auto.")
        sources = [(file, arguments)] if form else [(each, None) for each in (file, *(arguments or ()))]
        invocations = [record.prepare(each, given, module=module, sandbox=sandbox, seed=seed) for each, given in sources]
        if form:
            _finish([files.write_one(invocations[0], output, chosen_theme)])
        else:
            _finish(files.write_folder(invocations, output, chosen_theme))
        return
    invocation = record.prepare(file, arguments, module=module, sandbox=sandbox, seed=seed)
    look: Any = {"theme": theme or "light", "direction": direction, "view": view, "reveal": reveal, "layout": layout}
    look["engine"] = picture.shared_engine(invocation.settings.dot)

    async def draw() -> tuple[RecordedRun, bytes]:
        recorded = await record.record(invocation)
        chosen = default_graph(recorded.recording, step, line)
        if chosen is None:
            reason = f": {explanation(recorded.status, recorded.error)}" if recorded.error else "."
            raise NotFound(f"There is no graph to draw{f' on line {line}' if line else ''}{reason}")
        make = picture.render if chosen.kind == "pass" else picture.render_graph
        return recorded, await make(recorded.recording, chosen.index, form, **look)

    recorded, drawn = asyncio.run(draw())
    try:
        output.write_bytes(drawn)
    except OSError as error:
        raise BadRequest(f"{output} cannot be written: {error.strerror}.") from error
    _finish([recorded])


def _finish(runs: list[RecordedRun]) -> None:
    """Report the programs that failed. Exit with 1 if there is one."""
    from . import report

    failed = [recorded for recorded in runs if recorded.status != "done"]
    errors = report.console(error=True)
    for recorded in failed:
        for text in report.failure(recorded.run({})):
            errors.print(text)
    if failed:
        raise typer.Exit(1)


@app.command(cls=ProgramCommand)
def check(
    file: FILE,
    arguments: ARGUMENTS = None,
    elements: Annotated[
        int, typer.Option(help="Largest number of elements to check in each leaf, evenly spaced.", min=1, max=100_000)
    ] = 16,
    output: Annotated[
        str, typer.Option("--format", help="text, json, sarif for code scanning, or github for annotations of a pull request.")
    ] = "text",
    ignore: Annotated[list[str] | None, typer.Option(help="Code of a finding to accept. May be repeated.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="File with mistakes to accept: an earlier output of --format json.")
    ] = None,
    module: MODULE = False,
    sandbox: SANDBOX = False,
    seed: FIXED_SEED = 0,
) -> None:
    """Check gradients by finite differences, and report mistakes.

    The program runs once, and the first pass over each graph is checked, leaf by leaf, in float64. This finds, for example, a
    custom autograd.Function whose backward() is not the derivative of its forward(). Under autocast, the recorded gradient has
    only the precision of bfloat16 or float16, so its formula is also checked in float64.

    \b
    Verdicts:
      right    the gradient equals the slope of the loss
      wrong    it does not
      kink     the loss has no slope here, as for relu at 0
      defined  PyTorch defines a gradient that differs from the slope, as for padding_idx
      unknown  the loss or the gradient is not finite

    A mistake is a finding with the severity warning or error. A comment on its line accepts it: # tapedeck: ignore[code], or
    # tapedeck: ignore for every code.

    \b
    Exit status, for continuous integration:
      0  all gradients are right, and there is no mistake
      1  there is a mistake, a gradient is wrong, the program failed, or there was nothing to check
      2  the program could not be run
      3  no gradient is wrong, but some could not be judged: a number is not finite,
         or a hook changed it. To accept that: tapedeck check FILE || [ $? -eq 3 ]
    """
    from .. import wire
    from . import check_report, formats, mistakes, record, report

    if output not in formats.FORMATS:
        raise BadRequest(f"--format must be one of {', '.join(formats.FORMATS)}.")
    mistakes.check_codes(ignore or [])
    accepted = mistakes.read_baseline(baseline) if baseline is not None else []
    invocation = record.prepare(file, arguments, module=module, sandbox=sandbox, seed=seed)
    own_streams = output == "text" and invocation.shares_streams()
    recorded = asyncio.run(
        record.record(
            invocation,
            printed=_print_at_once if output == "text" else lambda stream, text: None,
            own_streams=own_streams,
            replay=wire.ReplayOrder("check", elements=elements, every=True),
        )
    )
    checked = check_report.read(recorded.recording)
    run = recorded.run({})
    every = mistakes.collect(run, checked, file, notebook=invocation.file.notebook)
    found = mistakes.without_accepted(every, run.program, ignore or [], accepted)
    if output == "json":
        print(formats.as_json(found, checked))
    elif output == "sarif":
        print(formats.as_sarif(found))
    elif output == "github":
        print(formats.as_github(found))
    else:
        out = report.console()
        for line in check_report.report(checked, invocation.file.name):
            out.print(line)
        for line in mistakes.report(found):
            out.print(line)
        for line in report.failure(run, printed=own_streams):
            out.print(line)
    if found or recorded.status != "done" or not checked.graphs:
        raise typer.Exit(1)
    if checked.right is None:
        raise typer.Exit(3)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="A program (.py) or a notebook (.ipynb).")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The program to compare FIRST with.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Largest relative difference that counts as equal. Default: 0 if both programs compute in the same dtypes, "
            "else a bound on rounding errors that grows with the number of operations.",
            min=0,
            max=1,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the divergence as JSON, as GET /api/v1/runs/{id}/divergence returns it.")
    ] = False,
    sandbox: SANDBOX = False,
    seed: FIXED_SEED = 0,
) -> None:
    """Find the first step and node where two programs differ.

    Both programs run, from the same random state, and the difference is printed. The text that they print is not shown. A step
    is compared in the order in which it computes: values, gradients, then parameters after the update.

    \b
    Exit status:
      0  the runs are equal
      1  they differ, or one has no step to compare
      2  a program could not be run
    """
    from ..recording.divergence import first_divergence
    from . import record

    invocations = [record.prepare(file, None, module=False, sandbox=sandbox, seed=seed) for file in (first, second)]
    recorded = [asyncio.run(record.record(invocation)) for invocation in invocations]
    found = first_divergence(recorded[0].recording, recorded[1].recording, tolerance)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(found.sentence)
    for file, run in zip((first, second), recorded, strict=True):
        if run.status != "done":
            print(f"tapedeck: {file} ended as {run.status}: only its recorded steps were compared.", file=sys.stderr)
    if found.where is not None or not found.compared:
        raise typer.Exit(1)


@app.command()
def why(
    file: FILE,
    of: Annotated[
        str,
        typer.Argument(
            metavar="NUMBER", help="What to explain, such as m.grad, w.update[0,1], loss, n3.grad, or m.is_leaf. See /docs."
        ),
    ],
    step: Annotated[int | None, typer.Option(help="Index of the step. Default: the last one.", min=0)] = None,
    pass_: Annotated[int | None, typer.Option("--pass", help="Index of the pass, for a node or an edge.", min=0)] = None,
    depth: Annotated[
        int, typer.Option(help="Number of explanations. Each explains the largest term of the previous one.", min=1)
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the explanation as JSON, as GET /api/v1/runs/{id}/why returns it.")
    ] = False,
    sandbox: SANDBOX = False,
    seed: FIXED_SEED = 0,
) -> None:
    """Run a program, and explain why a number is what it is.

    The explanation lists the terms that the number is made of, the largest first. A term that can be explained further is
    followed by its name, such as n3.grad: use this name as NUMBER. The text that the program prints is not shown.

    \b
    Exit status:
      0  the number is explained
      1  there is no such number, and the reason is printed
      2  the program could not be run, or the name is unknown
    """
    from ..recording import MOST_ELEMENTS
    from ..why import why as explain
    from . import explanation, record

    invocation = record.prepare(file, None, module=False, sandbox=sandbox, seed=seed)
    for values in (invocation.limits.kept_values, MOST_ELEMENTS):  # most programs need only the smaller number
        options = msgspec.structs.replace(invocation.request.options, values=values)
        request = msgspec.structs.replace(invocation.request, options=options)
        recorded = asyncio.run(record.record(msgspec.structs.replace(invocation, request=request)))
        answers = [explain(recorded.recording, of, step, pass_)]
        if (answers[0].replay or {}).get("what") != "elements":
            break
    while len(answers) < depth and answers[-1].terms and (source := answers[-1].terms[0].source) is not None:
        answers.append(explain(recorded.recording, source.of, source.step, source.pass_))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(answers if depth > 1 else answers[0])).decode())
    else:
        print("\n\n".join("\n".join(explanation.written(answer)) for answer in answers))
    if answers[0].kind == "absent":
        raise typer.Exit(1)


DATA = Annotated[str | None, typer.Option(help="Folder of the recordings (TAPEDECK_DATA).")]


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write. It must not exist.")],
    data: DATA = None,
) -> None:
    """Copy all recordings into one file, even while a server uses them.

    The copy is consistent: it has every run that was stored before, and no partial run. It also contains the secret with which
    visitors prove that a run is theirs, so only you may read the file. Restore it with `tapedeck restore`.

    \b
    Exit status:
      0  the file is written
      2  it could not be written
    """
    from ..store import back_up

    count = back_up(_folder(data), file)
    print(f"{file} has {count:,} run{'' if count == 1 else 's'}.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `tapedeck backup` wrote.")],
    data: DATA = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the recordings that are in the folder.")] = False,
) -> None:
    """Restore all recordings from a backup. Stop the server first.

    A backup of an earlier version of Tapedeck is brought up to date.

    \b
    Exit status:
      0  the recordings are restored
      2  they could not be restored; the folder is unchanged
    """
    from ..store import restore as restore_backup

    folder = _folder(data)
    count = restore_backup(file, folder, overwrite=force)
    print(f"{folder} has {count:,} run{'' if count == 1 else 's'}.")


def _folder(data: str | None) -> Path:
    """Return the folder of the recordings."""
    chosen = data or read_settings().data
    if chosen == ":memory:":
        raise BadRequest("Recordings in :memory: end with their server: choose a folder with --data.")
    return Path(chosen)


@app.command()
def doctor() -> None:
    """Check this machine for everything that Tapedeck needs.

    The checks cover Python, PyTorch and its version, the compiled code, the bundled front end, Graphviz, the data folder, and
    the sandbox. A failed check names the remedy.

    \b
    Exit status:
      0  everything works
      1  something is missing, or programs cannot be confined
    """
    from . import report
    from .doctor import Diagnosis, examine

    out = report.console()

    def show(diagnosis: Diagnosis, indent: str = "") -> None:
        out.print(f"{indent}{'ok  ' if diagnosis.ok else 'NO  '}", style="green" if diagnosis.ok else "bold red", end="")
        out.print(diagnosis.text)
        for detail in diagnosis.details:
            show(detail, indent + "    ")

    async def show_all() -> bool:
        all_ok = True
        async for diagnosis in examine(read_settings()):
            show(diagnosis)
            all_ok = all_ok and diagnosis.ok
        return all_ok

    if not asyncio.run(show_all()):
        raise typer.Exit(1)


def _end_like(code: int) -> None:
    """End this process as the program's process ended; ``code`` is a return code of :mod:`subprocess`."""
    if code < 0:
        sys.stdout.flush()
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code:
        raise typer.Exit(code)


def _print_at_once(stream: model.Stream, text: str) -> None:
    """Print the program's output as it arrives, to the stream to which the program printed it."""
    own = sys.stderr if stream == "stderr" else sys.stdout
    try:
        own.write(text)
        own.flush()
    except BrokenPipeError:  # nobody reads the rest, as after `| head`, but the program continues
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), own.fileno())
