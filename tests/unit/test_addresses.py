"""What the plane may be sent to: URLs as they are given, addresses as they are connected to."""

from ipaddress import ip_network

import pytest

from duragraph.addresses import check_url, guarded, may_reach
from duragraph.errors import DuraGraphError

PUBLIC = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "100.128.0.1")
OWN = (
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "ff02::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_reached(address):
    assert may_reach(address, ())


@pytest.mark.parametrize("address", OWN)
def test_no_other_address_may_be_reached(address):
    assert not may_reach(address, ())
    with pytest.raises(PermissionError):
        guarded(())((2, 1, 6, "", (address, 80)))


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_named_networks_may_be_reached(address):
    networks = (ip_network("fd00::/8"), ip_network("10.1.0.0/16"))
    assert may_reach(address, networks)
    assert not may_reach("10.2.0.1", networks)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:9/x", "Webhook host blocked: loopback IP range"),
        ("http://[::1]/", "Webhook host blocked: loopback IP range"),
        ("http://10.0.0.1/", "Webhook host blocked: blocked IP range"),
        ("http://169.254.169.254/latest", "Webhook host blocked: blocked IP range"),
        ("http://localhost:9/x", "Webhook host blocked: localhost address"),
        ("http://LOCALHOST./x", "Webhook host blocked: localhost address"),
        ("http://a.localhost/x", "Webhook host blocked: localhost address"),
        ("ftp://example.com/x", "Webhook host blocked: scheme 'ftp' not allowed"),
        ("file://host/etc/passwd", "Webhook host blocked: scheme 'file' not allowed"),
        ("", "Invalid webhook hostname ''"),
        ("/x", "Invalid webhook hostname ''"),
        ("example.com", "Invalid webhook hostname ''"),
        ("https:///x", "Invalid webhook hostname ''"),
        ("https://example.com:99999/", "Port out of range 0-65535"),
        ("https://[::1/", "Invalid IPv6 URL"),
        ("https://example.com/" + "x" * 4077, "Webhook URL too long"),
        (" https://example.com/", "Invalid webhook URL"),
        ("ht\ttps://example.com/", "Invalid webhook URL"),
        ("https://example.com/\r\nX-Header: x", "Invalid webhook URL"),
    ],
)
def test_a_url_that_can_be_no_webhook_is_refused(url, problem):
    with pytest.raises(DuraGraphError) as refused:
        check_url(url, ())
    assert refused.value.message == problem


@pytest.mark.parametrize(
    "url", ["https://example.com/" + "x" * 4076, "HTTP://8.8.8.8:8080", "https://notlocalhost.io"]
)
def test_a_url_that_can_be_a_webhook_is_not(url):
    check_url(url, ())


def test_a_named_network_lets_its_addresses_through():
    loopback = (ip_network("127.0.0.0/8"),)
    check_url("http://127.0.0.1:9/x", loopback)
    check_url("http://localhost:9/x", loopback)
