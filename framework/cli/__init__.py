"""The command line. Each command is a module with a typer `app`, imported only when it is called."""
