"""`python -m tieout.cli`: the same as the `tieout` command; child processes start this way."""

from tieout.cli.app import main

if __name__ == "__main__":
    main()
