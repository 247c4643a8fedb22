"""Reach files, processes and the network through functions of libraries."""

from __future__ import annotations

ATTEMPTS: dict[str, str] = {
    # NumPy and PyTorch, then the standard library
    "maps a file with NumPy": "import numpy; through(numpy.memmap, SECRET_FILE, mode='r+')",
    "reads a file with NumPy": "import numpy; through(numpy.fromfile, SECRET_FILE)",
    "reads a table with NumPy": "import numpy; through(numpy.genfromtxt, SECRET_FILE)",
    "writes a file with NumPy": "import numpy; through(numpy.ones(1).tofile, FOLDER + '/written')",
    "saves an archive with NumPy": "import numpy; through(numpy.savez, FOLDER + '/written', numpy.ones(1))",
    "loads a pickle with NumPy": "import numpy; through(numpy.load, SECRET_FILE, allow_pickle=True)",
    "maps a file with PyTorch": "import torch; through(torch.from_file, SECRET_FILE, size=8, dtype=torch.uint8)",
    "maps a shared file with PyTorch": "import torch; through(torch.UntypedStorage.from_file, SECRET_FILE, True, 8)",
    "loads a file with PyTorch": "import torch; through(torch.load, SECRET_FILE)",
    "loads a file with PyTorch's own reader": "import torch; through(torch._C.PyTorchFileReader, SECRET_FILE)",
    "writes a file with PyTorch's own writer": "import torch; through(torch._C.PyTorchFileWriter, FOLDER + '/written')",
    "saves a file with PyTorch": "import torch; through(torch.save, torch.ones(1), FOLDER + '/written')",
    "loads a script with PyTorch": "import torch; through(torch.jit.load, SECRET_FILE)",
    "loads a library with PyTorch": "import torch; through(torch.ops.load_library, SECRET_FILE)",
    "loads a library of classes with PyTorch": "import torch; through(torch.classes.load_library, SECRET_FILE)",
    "shares a tensor with other processes": "import torch; through(torch.ones(1).share_memory_)",
    "shares a tensor through a file": """
import torch
torch.multiprocessing.set_sharing_strategy('file_system')
through(torch.ones(1).share_memory_)""",
    "loads data in worker processes": """
import torch.utils.data
through(list, torch.utils.data.DataLoader([1, 2], num_workers=1))""",
    "spawns processes with PyTorch": "import torch.multiprocessing as several; through(several.spawn, print, nprocs=1)",
    "downloads a model": """
import torch.hub
through(torch.hub.download_url_to_file, f'http://127.0.0.1:{PORT}/x', FOLDER + '/written')""",
    "loads a repository": """
import torch.hub
torch.hub.set_dir(FOLDER)
through(torch.hub.load, 'pytorch/vision', 'resnet18', trust_repo=True)""",
    "opens a store for processes of PyTorch": """
import torch.distributed as d
through(d.TCPStore, '127.0.0.1', PORT, is_master=True, use_libuv=False)""",
    "opens a file store of PyTorch": "import torch.distributed as d; through(d.FileStore, FOLDER + '/written', 1)",
    "pickles code that runs a command": """
import pickle
class Run:
    def __reduce__(self): return os.execv, ('/bin/true', ['true'])
through(pickle.loads, pickle.dumps(Run()))""",
    "writes a document": "import xml.etree.ElementTree as e; through(e.ElementTree(e.Element('x')).write, FOLDER + '/written')",
    "writes an archive": "import zipfile; through(zipfile.ZipFile, FOLDER + '/written', 'w')",
    "reads an archive": "import tarfile; through(tarfile.open, SECRET_FILE)",
    "copies a file": "import shutil; through(shutil.copy, SECRET_FILE, FOLDER + '/written')",
    "moves a file": "import shutil; through(shutil.move, SECRET_FILE, FOLDER + '/written')",
    "removes a tree": "import shutil; through(shutil.rmtree, FOLDER)",
    "makes a temporary file": "import tempfile; through(tempfile.NamedTemporaryFile, dir=FOLDER)",
    "makes a temporary folder": "import tempfile; through(tempfile.mkdtemp, dir=FOLDER)",
    "makes an unnamed temporary file": "import tempfile; through(tempfile.TemporaryFile, dir=FOLDER)",
    "writes a log": "import logging; through(logging.FileHandler, FOLDER + '/written')",
    "writes through a path": "import pathlib; through(pathlib.Path(FOLDER, 'written').write_text, 'x')",
    "reads a file as text lines": """
import linecache
linecache.clearcache()
print('ESCAPED' if linecache.getlines(SECRET_FILE) else 'denied')""",
    "finds files by a pattern": """
import glob
print('ESCAPED' if glob.glob(FOLDER + '/*') or glob.glob('/etc/*') else 'denied')""",
    "walks over folders": "print('ESCAPED' if [*os.walk(FOLDER)] or [*os.walk('/proc')] else 'denied')",
    "scans a folder": "through(os.scandir, FOLDER)",
    "runs a file as a module": """
from importlib.machinery import SourceFileLoader
through(SourceFileLoader('x', SECRET_FILE).load_module)""",
    "loads a library of the machine": "through(ctypes.CDLL, '/bin/true')",
    "opens a pipe to a command": "through(os.popen, 'true')",
    "opens a terminal for a command": "import pty; through(pty.openpty)",
    "forks in a terminal": "import pty; through(pty.fork)",
    "starts a process with multiprocessing": "import multiprocessing; through(multiprocessing.Process(target=print).start)",
    "starts a pool of processes": """
import concurrent.futures as pools
through(lambda: pools.ProcessPoolExecutor().submit(print))""",
    "starts a pool of threads": "import concurrent.futures as pools; through(pools.ThreadPoolExecutor().submit, print)",
    "shares memory by name": """
from multiprocessing import shared_memory
through(shared_memory.SharedMemory, 'tapedeck-attack', True, 4096)""",
    "creates a semaphore": "import multiprocessing; through(multiprocessing.Semaphore)",
    "connects two ends": "import multiprocessing; through(multiprocessing.Pipe)",
    "starts a manager process": "import multiprocessing; through(multiprocessing.Manager)",
    "runs a command from a coroutine": """
import asyncio
through(asyncio.run, coroutine(lambda: asyncio.create_subprocess_exec('true')))""",
    "connects from a coroutine": """
import asyncio
through(asyncio.run, coroutine(lambda: asyncio.open_connection('127.0.0.1', PORT)))""",
    "serves from a coroutine": """
import asyncio
through(asyncio.run, coroutine(lambda: asyncio.start_server(print, '127.0.0.1', 0)))""",
    "connects to a port": "import socket; through(socket.create_connection, ('127.0.0.1', PORT))",
    "serves on a port": "import socket; through(socket.create_server, ('127.0.0.1', 0))",
    "asks a web server": "import http.client; through(http.client.HTTPConnection('127.0.0.1', PORT).request, 'GET', '/')",
    "sends a mail": "import smtplib; through(smtplib.SMTP, '127.0.0.1', PORT)",
    "fetches by FTP": "import ftplib; through(ftplib.FTP, '127.0.0.1')",
    "logs to the network": "import logging.handlers as handlers; through(handlers.SocketHandler('127.0.0.1', PORT).makeSocket)",
    "logs to the network in packets": "import logging.handlers as h; through(h.DatagramHandler('127.0.0.1', PORT).makeSocket)",
    "wakes by a descriptor": "import signal; attempt(lambda: (os.set_blocking(4, False), signal.set_wakeup_fd(4)))",
    "reads its terminal": "through(os.get_terminal_size, 4)",
    "sets a limit of the machine by a library": "import resource; through(resource.setrlimit, resource.RLIMIT_NPROC, (1, 1))",
    "waits in a selector": "import selectors; through(selectors.EpollSelector)",
}
