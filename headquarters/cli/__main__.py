"""`python -m headquarters.cli`: as `catchment-hq`."""

from headquarters.cli import main

if __name__ == "__main__":
    main(prog_name="catchment-hq")
