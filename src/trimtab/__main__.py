"""`python -m trimtab`: the command line, where the `trimtab` command is not on the path."""

from trimtab.cli import command

if __name__ == "__main__":
    command()
