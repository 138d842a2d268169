"""Where the weights and the photographs are, for the tests that need them."""

from tests.support.pictures import faces_folder, models_folder

__all__ = ["faces_folder", "models_folder"]
