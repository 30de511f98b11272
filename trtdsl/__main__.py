"""`python -m trtdsl` is the `trtdsl` command."""

from __future__ import annotations

from trtdsl.cli.main import main

if __name__ == "__main__":
    main(prog_name="trtdsl")
