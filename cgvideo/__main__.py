"""`python -m cgvideo`."""

from cgvideo.cli import main

main()
