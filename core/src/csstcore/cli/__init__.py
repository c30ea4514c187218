"""The command line: every command is a module with a click command called `command`."""
