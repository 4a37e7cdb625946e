"""Money, in integer nano-dollars. No floating point touches an amount, and every division rounds up."""

from decimal import Decimal

from gateway.messages import Usage
from gateway.types import Price

NANO = 1_000_000_000
_MILLION = 1_000_000


def price_from_dollars(
    input_: Decimal, output: Decimal, cached: Decimal | None, cache_write: Decimal | None = None
) -> Price:
    """A `Price` from US dollars per million tokens; tokens read from or put into a cache cost `input_` unless given."""
    per_input = int(input_ * NANO)
    return Price(
        input=per_input,
        output=int(output * NANO),
        cached=per_input if cached is None else int(cached * NANO),
        cache_write=per_input if cache_write is None else int(cache_write * NANO),
    )


def cost(price: Price, prompt: int, completion: int, cached: int = 0, cache_written: int = 0) -> int:
    """What these tokens cost. Of the `prompt` tokens, `cached` came from the provider's cache and `cache_written` went
    into it.

    The products are summed before the one division, so that rounding up adds less than one nano-dollar.
    """
    total = prompt * price.input + completion * price.output
    if cached or cache_written:
        read = min(cached, prompt)
        written = min(cache_written, prompt - read)
        total += read * (price.cached - price.input) + written * (price.cache_write - price.input)
    return -(-total // _MILLION)


def usage_cost(price: Price, usage: Usage) -> int:
    """What an attempt costs by its usage."""
    return cost(price, usage.prompt, usage.completion, usage.cached, usage.cache_written)


def dollars(nano: int) -> str:
    """`nano` as decimal dollars without an exponent and without needless zeros: 1500 is "0.0000015"."""
    if not nano:
        return "0.0"
    text = f"{nano // NANO}.{nano % NANO:09d}".rstrip("0")
    return text + "0" if text.endswith(".") else text
