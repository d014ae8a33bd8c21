"""Property tests look at the same cases every time, and however long a case takes on a busy machine."""

from hypothesis import settings

settings.register_profile("wwm", deadline=None, derandomize=True)
settings.load_profile("wwm")
