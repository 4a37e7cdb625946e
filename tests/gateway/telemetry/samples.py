"""What a registry exports, as a scraper reads it."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, float]


def at(name: str, /, **labels: str) -> str:
    """How a sample is called here."""
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


def samples(registry: CollectorRegistry, prefix: str = "forebay_") -> Samples:
    """Every sample of a registry whose name begins so, without the times of creation."""
    return read(generate_latest(registry).decode(), prefix)


def read(text: str, prefix: str = "forebay_") -> Samples:
    """The same of a text that was scraped."""
    return {
        at(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(prefix) and not sample.name.endswith("_created")
    }
