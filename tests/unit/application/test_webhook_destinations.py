"""Where webhooks may go, in every way in which an address can be written."""

from ipaddress import ip_address

import pytest

from application.webhooks.destinations import Allowed, RefusedUrl, check_url, destination_of, is_public, refusal_of

OWN_NETWORK = Allowed.of("10.0.0.0/8, [fd00::/8]:*, 127.0.0.1:3000, :9443")

PUBLIC = """
8.8.8.8
1.1.1.1
192.0.1.1
192.88.98.255
223.255.255.255
2606:4700:4700::1111
2a00:1450:4001:830::200e
64:ff9b::8.8.8.8
"""

NOT_PUBLIC = """
0.0.0.0
0.1.2.3
10.0.0.1
100.64.0.1
100.100.100.200
127.0.0.1
127.255.255.254
168.63.129.16
169.254.169.254
172.16.0.1
172.31.255.255
192.0.0.9
192.0.0.192
192.0.2.1
192.88.99.1
192.168.0.1
198.18.0.1
198.51.100.1
203.0.113.1
224.0.0.1
239.255.255.255
240.0.0.1
255.255.255.255
::
::1
::127.0.0.1
::8.8.8.8
::ffff:127.0.0.1
::ffff:0:127.0.0.1
64:ff9b::127.0.0.1
64:ff9b::a9fe:a9fe
64:ff9b::10.0.0.1
64:ff9b:1::8.8.8.8
100::1
2001::1
2001:0:4136:e378:8000:63bf:3fff:fdd2
2001:2::1
2001:10::1
2001:db8::1
2002:808:808::1
2002:7f00:1::1
2002:a00:1::1
2002:a9fe:a9fe::1
3ffe::1
3fff::1
4000::1
5f00::1
fc00::1
fd00:ec2::254
fe80::1
fe80::1%eth0
fec0::1
ff02::1
ff0e::1
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_a_public_address_may_be_reached(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_no_other_address_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


REFUSED = {
    "ftp://shop.example/": "https://",
    "shop.example/hook": "https://",
    "//shop.example/hook": "https://",
    "file:///etc/passwd": "https://",
    "http://shop.example/": "http is only taken",
    "https://": "not the name of a host",
    "https://:443/": "not the name of a host",
    "https://shop.example:22/": "port 22",
    "https://shop.example:80/": "port 80",
    "https://shop.example:0/": "port 0",
    "https://shop.example:65536/": "can't be read",
    "https://shop.example:4a/": "can't be read",
    "https://user@shop.example/": "user or a password",
    "https://user:secret@shop.example/": "user or a password",
    "https://@shop.example/": "user or a password",
    "https://shop.example\\@10.0.0.1/": "backslash",
    "https://shop.example/#part": "fragment",
    "https://shop.example/a b": "space",
    " https://shop.example/": "space",
    "https://shop.example/\r\nx: y": "control character",
    "https://shop.exa\tmple/": "control character",
    "https://shop.example/é": "ASCII",
    "https://shop.example/" + "a" * 2048: "2048",
    # IPv4, as few read it.
    "https://127.0.0.1/": "not a public address",
    "https://127.0.0.1./": "not a public address",
    "https://2130706433/": "not an IPv4 address as it is usually written",
    "https://017700000001/": "not an IPv4 address as it is usually written",
    "https://0x7f000001/": "not an IPv4 address as it is usually written",
    "https://0X7F.1/": "not an IPv4 address as it is usually written",
    "https://127.1/": "not an IPv4 address as it is usually written",
    "https://127.0.1/": "not an IPv4 address as it is usually written",
    "https://0177.0.0.1/": "not an IPv4 address as it is usually written",
    "https://127.0.0.01/": "not an IPv4 address as it is usually written",
    "https://127.0.0.0x1/": "not an IPv4 address as it is usually written",
    "https://127.0.0.1.0x/": "not an IPv4 address as it is usually written",
    "https://256.0.0.1/": "not an IPv4 address as it is usually written",
    "https://1.2.3.4.5/": "not an IPv4 address as it is usually written",
    "https://8.8.8.0010/": "not an IPv4 address as it is usually written",
    # Digits and dots of other scripts.
    "https://\uff11\uff12\uff17.0.0.1/": "not a public address",
    "https://127\u30020\uff0e0\uff611/": "not a public address",
    "https://①②⑦.⓪.⓪.①/": "not a public address",
    "https://ⓛocalhost/": "not a public address",
    "https://faß.example/": "xn--",
    "https://exa\u00admple.com/": "control character",
    # IPv6.
    "https://[::1]/": "not a public address",
    "https://[0:0:0:0:0:0:0:1]/": "not a public address",
    "https://[::]/": "not a public address",
    "https://[::ffff:127.0.0.1]/": "127.0.0.1 is not a public address",
    "https://[::ffff:7f00:1]/": "127.0.0.1 is not a public address",
    "https://[::ffff:a9fe:a9fe]/": "169.254.169.254 is not a public address",
    "https://[::127.0.0.1]/": "not a public address",
    "https://[64:ff9b::7f00:1]/": "not a public address",
    "https://[2002:7f00:1::1]/": "not a public address",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/": "not a public address",
    "https://[fe80::1%25eth0]/": "interface",
    "https://[fe80::1%eth0]/": "interface",
    "https://[::1]shop.example/": "brackets",
    "https://shop[::1].example/": "brackets",
    "https://[::1/": "can't be read",
    "https://[127.0.0.1]/": "IPv",
    "https://[shop.example]/": "",
    # Names.
    "https://localhost/": "not a public address",
    "https://LocalHost./": "not a public address",
    "https://shop.localhost/": "not a public address",
    "https://shop..example/": "not the name of a host",
    "https://.shop.example/": "not the name of a host",
    "https://-shop.example/": "not the name of a host",
    "https://shop%2eexample/": "not the name of a host",
    "https://%31%32%37.0.0.1/": "not an IPv4 address as it is usually written",
    f"https://{'a' * 64}.example/": "not the name of a host",
    f"https://{'a.' * 150}example/": "not the name of a host",
}


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_leads_inside_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(RefusedUrl) as refused:
        check_url(url)
    assert REFUSED[url] in str(refused.value)
    assert str(refused.value).isprintable()


TAKEN = {
    "https://shop.example": ("shop.example", 443, "/", "shop.example"),
    "HTTPS://Shop.Example./hooks?a=b&c": ("shop.example", 443, "/hooks?a=b&c", "shop.example"),
    "https://shop.example:443/": ("shop.example", 443, "/", "shop.example"),
    "https://shop.example:8443/": ("shop.example", 8443, "/", "shop.example:8443"),
    "https://shop.example?a": ("shop.example", 443, "/?a", "shop.example"),
    "https://bücher.example/": ("xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
    "https://xn--bcher-kva.example/": ("xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
    "https://my_shop.example/%C3%A4": ("my_shop.example", 443, "/%C3%A4", "my_shop.example"),
    "https://8.8.8.8/": ("8.8.8.8", 443, "/", "8.8.8.8"),
    "https://[2606:4700::1111]:8443/": ("2606:4700::1111", 8443, "/", "[2606:4700::1111]:8443"),
    "https://[2606:4700:0:0::1111]/": ("2606:4700::1111", 443, "/", "[2606:4700::1111]"),
}


@pytest.mark.parametrize("url", TAKEN)
def test_another_url_is_taken_apart_once(url: str) -> None:
    destination = destination_of(url)
    assert (destination.host, destination.port, destination.target, destination.authority) == TAKEN[url]


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3/",
        "https://10.1.2.3:8443/",
        "http://[fd00::7]:5000/",
        "http://127.0.0.1:3000/",
        "http://localhost:3000/",
        "http://[::ffff:10.1.2.3]/",
        "http://receiver.internal/",
        "http://receiver:3000/",
        "https://shop.example:9443/",
    ],
)
def test_what_the_setting_lists_is_allowed(url: str) -> None:
    check_url(url, OWN_NETWORK)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3:3000/",
        "http://127.0.0.2:3000/",
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "http://8.8.8.8/",
        "https://172.16.0.1:9443/",
        "https://8.8.8.8:5000/",
        "http://169.254.169.254/",
    ],
)
def test_the_setting_allows_nothing_beside_what_it_lists(url: str) -> None:
    with pytest.raises(RefusedUrl):
        check_url(url, OWN_NETWORK)


def test_an_address_that_a_name_turns_out_to_have_is_held_to_the_same_rules() -> None:
    public, inside = destination_of("https://shop.example/"), destination_of("http://receiver/", OWN_NETWORK)
    assert refusal_of(ip_address("8.8.8.8"), public, OWN_NETWORK) is None
    assert refusal_of(ip_address("127.0.0.1"), public, OWN_NETWORK) is not None
    assert refusal_of(ip_address("::ffff:169.254.169.254"), public, OWN_NETWORK) is not None
    assert refusal_of(ip_address("10.0.0.1"), inside, OWN_NETWORK) is None
    assert "http is only taken" in (refusal_of(ip_address("8.8.8.8"), inside, OWN_NETWORK) or "")


@pytest.mark.parametrize(
    "text", ["shop.example", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0:0", "10.0.0.0/8:70000", ":", ":*"]
)
def test_a_setting_that_allows_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|host bits|netmask|address"):
        Allowed.of(text)
