"""Runs the command."""

from ganlab.export import main

if __name__ == "__main__":
    main()
