"""What a user sees when a command fails."""

import numpy as np
import pytest

from wwm import command, params


def test_mistake_of_the_user_is_one_line():
    with pytest.raises(SystemExit, match="error: models: 'bret' is none of bert"), command.user_errors():
        params.one_of("models", "bret", ["bert"])


def test_error_from_within_a_library_keeps_its_traceback():
    with pytest.raises(ValueError), command.user_errors():
        np.zeros(2).reshape(3)
