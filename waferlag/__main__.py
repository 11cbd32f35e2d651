"""`python -m waferlag` is `waferlag`."""

from waferlag.main import main

main()
