"""The accuracy figures that ship with the package, as data, and the pages that tell them."""
