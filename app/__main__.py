"""Run the command line as ``python -m tapedeck``."""

from .cli.commands import main

if __name__ == "__main__":
    main()
