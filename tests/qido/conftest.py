"""Assertions of the model test's steps are told as those of the tests themselves."""

import pytest

pytest.register_assert_rewrite("tests.qido.example")
