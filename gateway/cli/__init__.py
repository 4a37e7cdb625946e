"""The command `forebay`: one file per subcommand, put together in `main`."""
