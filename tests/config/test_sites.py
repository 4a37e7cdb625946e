"""Where data goes: addresses, boxes, regions, and who may see what."""

import pytest

from gateway.config.addresses import Address, listen_address, loopback, url_host, url_port, wildcard
from gateway.config.sites import (
    UNKNOWN_REGION,
    Site,
    default_regions,
    eligible,
    expanded,
    sites,
    tenant_regions,
)
from tests.config.files import VALID, config_of, edited


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing listens there
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("127.1", False),
        ("", False),
    ],
)
def test_loopback_is_decided_without_looking_names_up(host: str, *, expected: bool) -> None:
    """Only addresses that stay on the box by definition, and `localhost`."""
    assert loopback(host) is expected


@pytest.mark.parametrize(("host", "expected"), [("::", True), ("::0", True), ("127.0.0.1", False), ("x", False)])
def test_wildcards_mean_every_address(host: str, *, expected: bool) -> None:
    """In IPv4 and in IPv6."""
    assert wildcard(host) is expected


def test_addresses_are_taken_apart() -> None:
    """Hosts lose their brackets; a URL may name no port, or one that cannot be."""
    assert listen_address("[::1]:80") == Address("::1", 80)
    assert listen_address("example:0") == Address("example", 0)
    assert url_host("http://[::1]:8000/x") == "::1"
    assert url_host("http://[::1:8000") == ""
    assert [url_port(f"http://h{port}/") for port in ("", ":1", ":65536")] == [None, 1, -1]


def test_engines_on_the_box_have_its_region() -> None:
    """llama.cpp and loopback servers stand in the server's region; others where they say."""
    text = edited(
        ("  vllm:\n", "  far: {kind: attached, urls: [https://far.example], region: us-west}\n  vllm:\n"),
        ("  gpu:\n", "  distant: {engine: far}\n  gpu:\n"),
        ("    region: us-east\n", ""),
    )
    assert sites(config_of(text)) == {
        "local": Site("eu-west", on_box=True),
        "distant": Site("us-west", on_box=False),
        "gpu": Site("eu-west", on_box=True),
        "mini": Site(UNKNOWN_REGION, on_box=False),
    }


def test_groups_stand_for_their_members_exactly() -> None:
    """A name that is no group stands for itself; nothing matches by prefix."""
    config = config_of(VALID)
    assert expanded(config, ["eu", "us-east"]) == {"eu-west", "eu-central", "us-east"}
    assert expanded(config, ["eu-"]) == {"eu-"}


@pytest.mark.parametrize(
    ("said", "allowed"),
    [("any", None), ("[eu]", frozenset({"eu-west", "eu-central"})), ("[us-east]", frozenset({"us-east"}))],
)
def test_default_regions(said: str, allowed: frozenset[str] | None) -> None:
    """What the policy allows, spelt out; None is anywhere."""
    assert default_regions(config_of(edited(("default_regions: any", f"default_regions: {said}")))) == allowed


def test_with_nothing_said_data_stays_in_the_servers_region() -> None:
    """The default is the narrowest thing it can be."""
    config = config_of(edited(("policy:\n  default_regions: any\n", ""), ("region: us-east", "region: eu-west")))
    assert default_regions(config) == frozenset({"eu-west"})


def test_a_tenants_regions_replace_the_default() -> None:
    """A tenant without regions has everybody's."""
    config = config_of(VALID)
    assert tenant_regions(config, config.tenants["acme"]) == frozenset({"eu-west", "eu-central"})
    silent = config_of(edited(("    regions: [eu]\n", "")))
    assert tenant_regions(silent, silent.tenants["acme"]) is None


def test_only_backends_inside_the_bounds_are_eligible() -> None:
    """An unknown region is inside no list; local_only asks for the box and not for the region."""
    unknown = sites(config_of(edited(("    region: us-east\n", ""))))
    assert eligible(unknown, None, local_only=False) == ("local", "gpu", "mini")
    assert eligible(unknown, frozenset({"eu-west", UNKNOWN_REGION + "x"}), local_only=False) == ("local", "gpu")
    assert eligible(unknown, None, local_only=True) == ("local", "gpu")
    assert eligible(unknown, frozenset({"us-east"}), local_only=True) == ()
