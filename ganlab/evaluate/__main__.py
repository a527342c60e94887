"""Runs the command."""

from ganlab.evaluate import main

if __name__ == "__main__":
    main()
