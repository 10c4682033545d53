"""Stands for what `pip install --target vendor` brings."""

from decimal import ROUND_HALF_UP, Decimal


def up(number):
    return float(Decimal(str(number)).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))
