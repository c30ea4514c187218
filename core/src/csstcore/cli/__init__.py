"""The command line: every command is a module with a click command called `command`."""

import gc

gc.disable()  # until `csstcore.cli.main` is imported: see there
