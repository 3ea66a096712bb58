"""The table of operators: every one has one row, which every rule can read."""

import pytest
import torch
import torchvision

from bamctl.tracing.operators import OPERATORS, OperatorKind, _row, _table, of
from bamctl.trunk._axis_rules import RULES

assert torchvision.ops  # its operators are known once it is imported


def test_every_name_in_the_table_is_one_of_pytorch() -> None:
    """So that no misspelt name leaves an operator uncounted."""
    known = {schema.name for schema in torch._C._jit_get_all_schemas()}
    assert set(OPERATORS) - known == set()


def test_every_rule_for_axes_is_one_and_each_is_in_use() -> None:
    used = {kind.axes for kind in OPERATORS.values()}
    assert used == set(RULES) | {"split"}


def test_no_operator_has_two_rows() -> None:
    with pytest.raises(AssertionError, match="aten::relu is in two rows"):
        _table([_row("relu tanh", "elementwise"), _row("sigmoid relu", "free")])


def test_an_operator_in_place_is_as_the_plain_one() -> None:
    assert of("aten::relu_") == of("aten::relu")
    assert of("aten::transpose_").axes == "transposed"
    # One name ends so by itself, and what is in no row is known to be nothing.
    assert of("aten::_thnn_fused_lstm_cell") == of("mylib::relu_") == OperatorKind()
