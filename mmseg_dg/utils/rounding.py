"""Whole numbers, rounded."""


def ceil_div(number: int, divisor: int) -> int:
    """``number / divisor`` rounded up, exactly; ``divisor`` above 0."""
    return -(-number // divisor)
