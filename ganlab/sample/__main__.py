"""Runs the command."""

from ganlab.sample import main

if __name__ == "__main__":
    main()
