"""`python -m hodei` is the console script."""

from hodei.cli import main

if __name__ == "__main__":
    main()
