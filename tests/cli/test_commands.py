"""The commands run, print, draw and check a file, and report their own errors in one line."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tapedeck import model, wire
from tapedeck.cli import commands, doctor, record
from tapedeck.cli.doctor import writable
from tapedeck.drawing.style import THEMES
from tapedeck.examples import example
from tapedeck.sandbox.selftest import Check
from typer.testing import CliRunner, Result

from ..handmade_events import FIT, fit

SEED = Path(__file__).parent.parent / "seed" / "autograd_and_backpropagation.ipynb"
BROKEN = wire.EndEvent("failed", wire.ProgramFailure("RuntimeError", "it broke", None, 7, "Traceback", (11, 38)), 3.0)


class FakeProcess:
    """A stand-in for OwnProcess that yields given events and runs nothing."""

    events: list[wire.AnyEvent] = []  # noqa: RUF012 (each test sets its own)
    jobs: list[wire.Job] = []  # noqa: RUF012

    async def close(self) -> None: ...

    async def run(
        self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        self.jobs.append(job)
        yield list(self.events)


@pytest.fixture
def fake_process(monkeypatch: pytest.MonkeyPatch) -> type[FakeProcess]:
    monkeypatch.setattr(record, "OwnProcess", FakeProcess)
    monkeypatch.setattr(FakeProcess, "events", fit())
    monkeypatch.setattr(FakeProcess, "jobs", [])
    return FakeProcess


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "fit.py"
    path.write_text(FIT)
    return str(path)


def tapedeck(*arguments: str, **options: Any) -> Result:
    """Run the command line in this process. An error of Tapedeck fails the test."""
    try:
        return CliRunner().invoke(commands.app, list(arguments), catch_exceptions=False, **options)
    except commands.TapedeckError as error:
        pytest.fail(f"the command failed: {error}")


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Run a command that is expected to fail, and return its one line of output."""
    monkeypatch.setattr(sys, "argv", ["tapedeck", *arguments])
    with pytest.raises(SystemExit) as stop:
        commands.main()
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert not captured.out
    assert captured.err.startswith("tapedeck: ")
    assert captured.err.count("\n") == 1
    return captured.err


def command(
    *arguments: str, folder: Path, text: str | None = None, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a separate process, in a folder."""
    line = [python, "-m", "tapedeck", *arguments]
    return subprocess.run(line, cwd=folder, input=text, capture_output=True, text=True, timeout=120)


@pytest.mark.usefixtures("fake_process")
def test_run_prints_the_output_the_values_the_last_pass_and_a_summary(file: str) -> None:
    result = tapedeck("run", file)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "done"
    assert "   7      loss = ((y_pred - y) ** 2).mean()  tensor(4.6667, grad_fn=<MeanBackward0>)" in lines
    assert "  13  m                                      tensor(1.1776, requires_grad=True)" in lines
    assert "step 1, pass 1: backward() on line 8, from loss" in lines
    assert "    m.grad -8.4622" in lines
    assert lines[-1] == "fit.py: 2 steps, 2 passes in 12 ms, torch 2.13.0."
    assert "\x1b" not in result.output


@pytest.mark.usefixtures("fake_process")
def test_run_prints_the_json_of_the_api_on_request(file: str) -> None:
    run = json.loads(tapedeck("run", file, "--json").output)
    assert run["status"] == "done"
    assert run["program"] == FIT
    assert run["stdout"] == "done\n"
    assert run["parameters"][0]["names"] == ["m"]
    assert [line["line"] for line in run["lines"]] == [7, 13]


def test_run_exits_with_1_and_marks_the_expression_that_failed(fake_process: type[FakeProcess], file: str) -> None:
    fake_process.events = [*fit()[:-1], BROKEN]
    result = tapedeck("run", file)
    assert result.exit_code == 1
    start = result.output.index("RuntimeError on line 7: it broke\n")
    assert result.output[start:].splitlines()[1:3] == [
        "   7      loss = ((y_pred - y) ** 2).mean()",
        "                 " + "^" * 26,
    ]


def test_a_file_is_run_with_its_path_and_its_arguments(fake_process: type[FakeProcess], file: str) -> None:
    tapedeck("run", file, "--seed", "7", "--", "--epochs", "3")
    (job,) = fake_process.jobs
    assert (job.path, job.arguments, job.seed, job.notebook) == (file, ["--epochs", "3"], 7, False)
    tapedeck("run", "-", input=FIT)
    assert (fake_process.jobs[1].path, fake_process.jobs[1].program) == (None, FIT)


def test_the_first_argument_of_a_program_is_its_file_as_the_user_names_it(
    fake_process: type[FakeProcess], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(file).parent)
    tapedeck("run", "fit.py")
    tapedeck("run", "../" + file.split("/")[-2] + "/fit.py")
    tapedeck("run", "-", input=FIT)
    assert [job.script for job in fake_process.jobs] == ["fit.py", f"../{file.split('/')[-2]}/fit.py", "-"]
    assert fake_process.jobs[0].path == file


@pytest.mark.parametrize(
    ("line", "arguments", "seed"),
    [
        ("{file} --epochs 2", ["--epochs", "2"], None),
        ("{file} data --json", ["data", "--json"], None),
        ("{file} --json --lr 0.1 -m x", ["--lr", "0.1", "-m", "x"], None),
        ("{file} --seed 3 --help", ["--seed", "3", "--help"], None),
        ("--seed 3 {file} --seed 4", ["--seed", "4"], 3),
        ("{file} --seed 3 -- --seed 4", ["--seed", "4"], 3),
        ("--seed=3 -- {file} -- --seed", ["--seed"], 3),
        ("{file} -x -- y", ["-x", "--", "y"], None),
        ("{file}", [], None),
    ],
)
def test_arguments_of_the_program_need_no_separator(
    fake_process: type[FakeProcess], file: str, line: str, arguments: list[str], seed: int | None
) -> None:
    result = tapedeck("run", *(file if each == "{file}" else each for each in line.split()))
    assert result.exit_code == 0, result.output
    (job,) = fake_process.jobs
    assert (job.path, job.arguments, job.seed) == (file, arguments, seed)


def test_render_and_check_take_arguments_of_the_program_too(fake_process: type[FakeProcess], file: str, tmp_path: Path) -> None:
    output = str(tmp_path / "graph.txt")
    tapedeck("render", file, "-o", output, "--step", "0", "--epochs", "2", "-o", "x")
    tapedeck("check", file, "--elements", "3", "--epochs", "2")
    assert [(job.arguments, job.seed) for job in fake_process.jobs] == [
        (["--epochs", "2", "-o", "x"], None),
        (["--epochs", "2"], 0),
    ]


def test_a_run_without_a_seed_option_has_no_seed(fake_process: type[FakeProcess], file: str) -> None:
    assert json.loads(tapedeck("run", "--json", file).output)["seed"] is None
    assert json.loads(tapedeck("run", "--json", "--seed", "4", file).output)["seed"] == 4
    assert [job.seed for job in fake_process.jobs] == [None, 4]


def test_a_notebook_is_run_from_a_file_or_from_standard_input(fake_process: type[FakeProcess]) -> None:
    tapedeck("run", str(SEED))
    tapedeck("run", "-", input=SEED.read_text())
    assert [job.notebook for job in fake_process.jobs] == [True, True]
    assert fake_process.jobs[0].cells == fake_process.jobs[1].cells
    assert len(fake_process.jobs[0].cells) == 12


@pytest.mark.usefixtures("fake_process")
@pytest.mark.parametrize(
    ("ending", "start", "number"),
    [
        ("svg", b"<svg", "−9.3333"),
        ("dot", b"digraph", "9.3333"),
        ("txt", b"step 0", "-9.3333"),
        ("pdf", b"%PDF", ""),
        ("png", b"\x89PNG", ""),
    ],
)
def test_render_writes_the_format_of_the_file_ending(file: str, tmp_path: Path, ending: str, start: bytes, number: str) -> None:
    output = tmp_path / f"graph.{ending}"
    result = tapedeck("render", file, "-o", str(output), "--step", "0", "--theme", "dark", "--direction", "LR")
    assert (result.exit_code, result.output) == (0, "")
    drawn = output.read_bytes()
    assert drawn.lstrip().startswith(start)
    assert number.encode() in drawn


@pytest.mark.usefixtures("fake_process")
def test_render_draws_a_map_as_rows(file: str, tmp_path: Path) -> None:
    output = tmp_path / "map.svg"
    tapedeck("render", file, "-o", str(output), "--view", "", "--layout", "rows")
    assert 'data-layout="rows"' in output.read_text()


@pytest.mark.usefixtures("fake_process")
def test_render_draws_the_last_step_by_default(file: str, tmp_path: Path) -> None:
    output = tmp_path / "account.txt"
    tapedeck("render", file, "-o", str(output))
    assert output.read_text().startswith("step 1, pass 1")


@pytest.mark.usefixtures("fake_process")
def test_render_draws_the_graph_of_a_value_without_a_pass(file: str, tmp_path: Path) -> None:
    output = tmp_path / "account.txt"
    tapedeck("render", file, "-o", str(output), "--line", "7")
    assert "No backward pass is shown" in output.read_text()


def test_render_writes_files_that_play_in_a_browser_and_an_index(
    fake_process: type[FakeProcess], file: str, tmp_path: Path
) -> None:
    other = tmp_path / "second" / Path(file).name
    other.parent.mkdir()
    other.write_text("# <b>Second</b>\nimport torch\n")
    folder = tmp_path / "lecture"
    result = tapedeck("render", "-o", str(folder), file, str(other))
    assert (result.exit_code, result.output) == (0, "")
    stem = Path(file).stem
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{stem}.html", f"{stem}-2.html", "index.html"])
    index = (folder / "index.html").read_text()
    assert f'<a href="{stem}-2.html">&lt;b&gt;Second&lt;/b&gt;</a>' in index
    assert "<h1>lecture</h1>" in index
    assert "2 steps" in index
    pictures = [base64.b64decode(each).decode() for each in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", index)]
    assert len(pictures) == 4, "each of the two, in light and in dark colours"
    assert all(each.startswith("<svg ") and "loss" in each for each in pictures)
    assert THEMES["light"]["surface"] in pictures[1]
    assert THEMES["dark"]["surface"] in pictures[0]
    fake_process.events = [*fit()[:-1], BROKEN]
    single = tmp_path / "run.html"
    result = tapedeck("render", file, "-o", str(single), "--theme", "dark")
    assert result.exit_code == 1
    assert "RuntimeError on line 7" in result.stderr
    page = single.read_text()
    assert 'data-theme="dark"' in page
    assert 'target="_blank"' not in page  # there is no server that keeps the run


def test_render_draws_the_recording_before_a_failure(fake_process: type[FakeProcess], file: str, tmp_path: Path) -> None:
    fake_process.events = [*fit()[:-1], BROKEN]
    output = tmp_path / "account.txt"
    result = tapedeck("render", file, "-o", str(output))
    assert result.exit_code == 1
    assert output.exists()
    assert "RuntimeError on line 7" in result.stderr


@pytest.mark.usefixtures("fake_process")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("run", "missing.py"), "missing.py cannot be read: No such file or directory"),
        (("run", "-m", "no.such.module"), "No module named no is in this folder or installed."),
        (("run", "-m", "json"), "The package json has no __main__ and cannot be run"),
        (("run", "-m", "math"), "The module math is not a Python file"),
        (("run", "-m", "--sandbox", "json.tool"), "leave out -m or --sandbox"),
        (("render", "{file}", "-o", "graph.gif"), "use one of the endings svg, png, pdf, dot, txt"),
        (("render", "{file}", "-o", "missing/graph.svg"), "missing/graph.svg cannot be written"),
        (("render", "{file}", "-o", "graph.svg", "--step", "9"), "There is no step 9: the last is 1."),
        (("render", "{file}", "-o", "graph.svg", "--line", "2"), "There is no graph to draw on line 2."),
        (("render", "{file}", "-o", "graph.svg", "--theme", "pink"), "There is no theme 'pink'"),
        (("render", "{file}", "-o", "run.html", "--theme", "pink"), "There is no theme 'pink'"),
        (("render", "{file}", "-o", "missing/run.html"), "missing/run.html cannot be written"),
        (("render", "{file}", "-o", "graph.svg", "--layout", "tree"), "There is no layout 'tree'"),
        (("serve", "--unconfined", "--host", "0.0.0.0"), "--unconfined serves on a loopback address only"),
        (("serve", "--data", "/dev/null/recordings"), "Recordings cannot be stored in /dev/null/recordings"),
        (("serve", "--host", "nowhere.invalid"), "Cannot listen on 'nowhere.invalid'"),
    ],
)
def test_an_error_is_reported_in_one_line(
    arguments: tuple[str, ...], text: str, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert text in refused(capsys, monkeypatch, *(each.replace("{file}", file) for each in arguments))


def test_a_port_in_use_is_reported_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        text = refused(capsys, monkeypatch, "serve", "--port", port, "--data", ":memory:")
    assert f"127.0.0.1:{port}, address already in use: choose another port with --port" in text


def test_a_data_folder_of_another_server_is_reported_in_one_line(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = command("serve", "--port", "0", "--data", str(tmp_path), folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"tapedeck: Another Tapedeck already uses {tmp_path}.")
    assert result.stderr.count("\n") == 1


def test_an_invalid_setting_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEDECK_CHILDREN", "many")
    assert "TAPEDECK_CHILDREN='many'" in refused(capsys, monkeypatch, "doctor")


class Sandbox:
    """A stand-in for LocalExecutor whose self-test failed."""

    def __init__(self, *_: object) -> None:
        self.failure = "Nothing here can confine a program: run it in a container."
        self.checks = [Check("forking is denied", False, "it was possible")]

    @property
    def report(self) -> list[str]:
        return [self.failure]

    async def start(self) -> None: ...
    async def settled(self) -> None: ...
    async def close(self) -> None: ...


def test_the_doctor_exits_with_1_and_names_the_remedy_if_programs_cannot_be_confined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "LocalExecutor", Sandbox)
    monkeypatch.setenv("TAPEDECK_DATA", str(tmp_path))
    result = tapedeck("doctor")
    assert result.exit_code == 1
    assert "ok  Graphviz lays out graphs" in result.output
    assert re.search(r"ok  torch 2\.", result.output)
    assert "NO  Nothing here can confine a program: run it in a container.\n    NO  forking is denied: it was possible\n" in (
        result.output
    )


@pytest.mark.parametrize(
    ("version", "ok", "text"),
    [
        ("2.13.0+cpu", True, "torch 2.13.0+cpu is inside the tested range, 2.10 to 2.14"),
        ("2.10.0", True, "torch 2.10.0 is inside the tested range, 2.10 to 2.14"),
        ("2.15.0.dev20261101", True, "torch 2.15.0.dev20261101 is newer than the tested range, 2.10 to 2.14"),
        ("2.9.1", False, "torch 2.9.1 is older than the tested range, 2.10 to 2.14: pip install"),
    ],
)
def test_the_doctor_compares_the_version_of_torch_with_the_tested_range(version: str, ok: bool, text: str) -> None:
    diagnosis = doctor.torch_diagnosis(version)
    assert diagnosis.ok is ok
    assert diagnosis.text.startswith(text)


def test_a_missing_data_folder_is_created(tmp_path: Path) -> None:
    assert writable(str(tmp_path / "new" / "folder")).ok
    assert (tmp_path / "new" / "folder").is_dir()
    assert not writable("/dev/null/folder").ok


def test_the_command_line_never_imports_torch() -> None:
    program = (
        "import sys; from tapedeck.cli import check_report, commands, doctor, record, report, serve; "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_a_file_runs_as_python_would_run_it(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "neighbour.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "data.txt").write_text("3")
    (tmp_path / "scripts" / "train.py").write_text(
        "import sys\nfrom pathlib import Path\nimport torch\nfrom neighbour import double\n"
        "w = torch.tensor(float(Path('data.txt').read_text()), requires_grad=True)\n"
        "loss = double(w) ** 2\nloss.backward()\n"
        "print(sys.argv, Path(__file__).is_absolute(), __name__, sys.stdin.read())\nw.grad\n"
    )
    result = command("run", "scripts/train.py", "--", "--epochs", "3", folder=tmp_path, text="typed")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("['scripts/train.py', '--epochs', '3'] True __main__ typed\n")
    assert "   9  w.grad  " in result.stdout
    assert "tensor(24.)\n" in result.stdout
    assert "n0  loss = double(w) ** 2  PowBackward0  line 6" in result.stdout


@pytest.mark.slow
@pytest.mark.sandbox
def test_a_confined_run_shows_the_finding_with_its_fix_as_a_diff(tmp_path: Path) -> None:
    failing = example("pitfall-rebound")
    assert failing is not None
    result = command("run", "-", "--sandbox", folder=tmp_path, text=failing.program)
    assert result.returncode == 1, result.stderr
    assert "RuntimeError on line 12: element 0 of tensors does not require grad" in result.stdout
    assert "error  line 14  Line 14 makes `m` a new tensor." in result.stdout
    assert "    -         m = m - lr * m.grad\n    +         m -= lr * m.grad\n" in result.stdout


@pytest.mark.slow
def test_a_notebook_shows_the_output_of_each_cell(python: str, tmp_path: Path) -> None:
    result = command("run", str(SEED), folder=tmp_path, python=python)
    assert result.returncode == 0, result.stderr
    assert "Out 11\n      tensor(-9.3333)\n" in result.stdout
    assert "Out 12\n      tensor(1.0933, grad_fn=<SubBackward0>)\n" in result.stdout


@pytest.mark.slow
def test_a_terminated_run_ends_its_program_and_prints_the_recording(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(
        "import time, torch\nw = torch.ones((), requires_grad=True)\n(w * w).backward()\n"
        "while True:\n    print('round', flush=True)\n    time.sleep(0.2)\n"
    )
    line = [sys.executable, "-m", "tapedeck", "run", "loop.py"]
    with subprocess.Popen(line, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(2):  # the recording is sent before the program sleeps
            assert process.stdout.readline() == "round\n"
        process.send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=60)  # returns once the program has closed the pipe too
        assert process.returncode == 1
    assert "Cancelled: The run was cancelled." in text
    assert "w.grad 2.0000" in text


def test_a_server_prints_its_address_and_stops_silently_at_ctrl_c(tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "tapedeck",
        "serve",
        "--port",
        "0",
        "--data",
        str(tmp_path),
        "--root-path",
        "/deck",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # restore the default handler, because a shell makes its background jobs ignore Ctrl+C
    with subprocess.Popen(line, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **pipes) as server:
        assert server.stdout is not None
        text = server.stdout.readline()
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=60)
    assert re.fullmatch(r"Tapedeck is on http://127\.0\.0\.1:\d+/deck/   \(Ctrl\+C stops it\)\n", text)
    assert server.returncode == 0
    assert "Traceback" not in errors
    assert "Abort" not in errors


@pytest.mark.sandbox
def test_a_server_without_a_sandbox_prints_its_token_and_requires_it() -> None:
    line = [sys.executable, "-m", "tapedeck", "serve", "--unconfined", "--port", "0", "--data", ":memory:"]
    environment = os.environ | {"TAPEDECK_CHILDREN": "1"}
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        try:
            printed = re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", server.stdout.readline())
            assert printed is not None
            address = printed[0].partition("?")[0]
            with httpx.Client(headers={"Accept": "text/html"}, follow_redirects=True, timeout=60) as browser:
                assert browser.get(printed[0]).url == address
                assert browser.get(f"{address}docs").status_code == 200
                kind = {"Content-Type": "text/plain", "Origin": "https://evil.example"}
                assert browser.post(f"{address}api/v1/runs", content="x = 1", headers=kind).status_code == 403
            assert httpx.get(address).status_code == 403
            assert httpx.get(printed[0], headers={"Host": "evil.example"}).status_code == 403
        finally:
            server.terminate()
            _, errors = server.communicate(timeout=60)
    assert "token" not in errors


CUSTOM = """\
import torch
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x
    @staticmethod
    def backward(ctx, grad):
        x, = ctx.saved_tensors
        return 2 * x * grad
w = torch.tensor([0.5, -1.5, 3.0], requires_grad=True)
b = torch.zeros(3, requires_grad=True)
for step in range(3):
    (Square.apply(w) + torch.relu(b)).sum().backward()
print("trained")
"""


@pytest.mark.usefixtures("preloaded_tracer")
def test_check_compares_gradients_with_finite_differences_and_sets_its_exit_status(tmp_path: Path) -> None:
    file = tmp_path / "square.py"
    file.write_text(CUSTOM)
    right = tapedeck("check", str(file))
    assert right.exit_code == 0, right.output
    assert right.output.startswith("trained\n")
    rows = [line.split() for line in right.output.splitlines() if line.startswith("  ")]
    (w,) = [row for row in rows if row[0] == "w"]
    assert (w[:5], w[-1]) == (["w", "[3]", "3", "of", "3"], "right")
    assert w[-3] == w[-2]
    assert ["b", "[3]", "3", "of", "3", "[0]", "0", "0", "|", "1", "kink"] in rows
    assert right.output.splitlines()[-1] == "square.py: 2 leaves of 1 graph: 1 right, 1 kink."
    file.write_text(CUSTOM.replace("return 2 * x * grad", "return x * grad"))
    wrong = tapedeck("check", str(file))
    assert wrong.exit_code == 1
    assert "This pass uses a backward() that the program defines: Square." in wrong.output
    assert ["w", "[3]", "3", "of", "3", "[2]", "3", "6", "wrong"] in [line.split() for line in wrong.output.splitlines()]


@pytest.mark.usefixtures("preloaded_tracer")
def test_why_prints_the_terms_of_a_number_or_the_reason_why_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "fit.py"
    file.write_text(
        "import torch\nx = torch.arange(100.0)\nm = torch.ones((), requires_grad=True)\ny = m * x\ny.sum().backward()\n"
    )
    found = tapedeck("why", str(file), "m.grad", "--depth", "2")
    assert found.exit_code == 0, found.output
    assert found.output.splitlines()[0] == "m.grad in step 0 = 4950   (line 3)"
    assert "99·1   n1.grad[99]: ∂" in found.output  # a tensor of 100 elements is recorded here
    large = tmp_path / "large.py"
    large.write_text(file.read_text().replace("100.0", "5000.0"))
    assert "4999·1   n1.grad[4999]: ∂" in tapedeck("why", str(large), "m.grad").output
    absent = tapedeck("why", str(file), "y.grad")
    assert absent.exit_code == 1
    assert "y is a computed result: MulBackward0 made it on line 4." in absent.output


@pytest.mark.usefixtures("preloaded_tracer")
def test_check_reports_a_program_without_a_pass_and_one_that_fails(tmp_path: Path) -> None:
    file = tmp_path / "none.py"
    file.write_text("x = 1\n")
    nothing = tapedeck("check", str(file))
    assert (nothing.exit_code, nothing.output) == (1, "none.py: there was no backward pass to check.\n")
    file.write_text("import torch\nw = torch.ones(2, requires_grad=True)\nw.sum().backward()\n1 / 0\n")
    failed = tapedeck("check", str(file))
    assert failed.exit_code == 1
    assert "1 leaf of 1 graph: 1 right." in failed.output
    assert "ZeroDivisionError on line 4" in failed.output
    file.write_text("import torch\nw = torch.ones(2, requires_grad=True)\nw.register_hook(lambda g: -g)\nw.sum().backward()\n")
    hooked = tapedeck("check", str(file))
    assert hooked.exit_code == 3
    assert "not checked: The pass cannot be evaluated again: with the recorded values" in hooked.output


@pytest.mark.parametrize(
    ("loss", "status", "text"),
    [
        ("(w / 0).sum()", 3, "1 leaf of 1 graph: 1 unknown."),
        ("w.sum()", 0, "1 leaf of 1 graph: 1 right."),
        ("F.embedding(torch.tensor([0, 1]), w, padding_idx=0).sum()", 0, "1 leaf of 1 graph: 1 defined."),
    ],
)
@pytest.mark.usefixtures("preloaded_tracer")
def test_check_distinguishes_wrong_gradients_from_undecidable_ones(tmp_path: Path, loss: str, status: int, text: str) -> None:
    file = tmp_path / "fit.py"
    file.write_text(
        f"import torch\nfrom torch.nn import functional as F\nw = torch.ones(2, 2, requires_grad=True)\n({loss}).backward()\n"
    )
    checked = tapedeck("check", str(file), "--ignore", "nan-origin")
    assert (checked.exit_code, checked.output.splitlines()[-1]) == (status, f"fit.py: {text}")
    if "padding_idx" in loss:
        assert "w: PyTorch defines a gradient that differs from the slope for padding_idx." in checked.output


@pytest.mark.usefixtures("preloaded_tracer")
def test_check_compares_gradients_under_autocast_with_the_precision_of_autocast(tmp_path: Path) -> None:
    file = tmp_path / "fit.py"
    file.write_text(
        "import torch\ntorch.manual_seed(0)\nnet = torch.nn.Linear(4, 1)\n"
        "with torch.autocast('cpu', dtype=torch.bfloat16):\n    loss = net(torch.randn(16, 4)).square().mean()\n"
        "loss.backward()\n"
    )
    checked = tapedeck("check", str(file))
    assert checked.exit_code == 0, checked.output
    assert "This pass computes in bfloat16, so its gradients have only this precision." in checked.output


def test_diff_finds_the_first_difference_of_two_programs(fake_process: type[FakeProcess], file: str, tmp_path: Path) -> None:
    equal = tapedeck("diff", file, file)
    assert (equal.exit_code, equal.output) == (0, "All 2 steps are equal.\n")
    assert [job.seed for job in fake_process.jobs] == [0, 0]
    fake_process.events = [wire.EndEvent("done", None, 1.0)]
    nothing = json.loads(tapedeck("diff", "--json", file, file).output)
    assert (nothing["where"], nothing["compared"]) == (None, 0)
    assert tapedeck("diff", file, file).exit_code == 1


def test_diff_runs_both_programs(python: str, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(FIT)
    (tmp_path / "two.py").write_text(FIT.replace("mean()", "sum()"))
    ended = command("diff", "one.py", "two.py", folder=tmp_path, python=python)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert (
        ended.stdout
        == "The runs first differ in step 0: MeanBackward0 in the first run is SumBackward0 in the second (line 7).\n"
    )
